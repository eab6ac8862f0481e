/**
 * Starts the bundled program: loads its files as node would, but with code that V8 has compiled before. That code is kept in
 * a directory of the user, one file for each build and version of node, and made of what was used when a command ran for the
 * first time.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';
import { CODE_CACHE_SUFFIX, readCodeCache, writeCodeCache } from './code-cache.js';
import type { main } from './main.js';

/** Said by the bundler: what distinguishes this build from others. */
declare const BUILD: string;

/** What V8 has not used for a while it drops, so after a long run much would be missing; there a start's time is nothing. */
const SHORT_RUN_S = 5;

type Exports = Record<string, unknown>;
type Wrapped = (
  exports: Exports,
  require: typeof requireFrom,
  module: { exports: Exports },
  __filename: string,
  __dirname: string,
  moduleUrl: string,
) => void;

const directory = import.meta.dirname;
const cachePath = codeCachePath(process.env);
const compiled = cachePath === undefined ? undefined : readCodeCache(cachePath);
const scripts = new Map<string, Script>();
const modules = new Map<string, { exports: Exports }>();
let incomplete = compiled === undefined;

/** Undefined for a user without a home. */
function codeCachePath({ HOME, XDG_CACHE_HOME, NODE_OPTIONS }: NodeJS.ProcessEnv): string | undefined {
  const caches = XDG_CACHE_HOME || (HOME && join(HOME, '.cache'));
  if (!caches) return undefined;
  // V8 takes only what was compiled by the same version with the same flags.
  const node = crc32([process.version, process.arch, NODE_OPTIONS, ...process.execArgv].join(' '));
  return join(caches, 'imgtool/compiled', `${BUILD}-${node.toString(16)}${CODE_CACHE_SUFFIX}`);
}

function load(name: string): Exports {
  const loaded = modules.get(name);
  if (loaded !== undefined) return loaded.exports;
  const filename = join(directory, name);
  const cachedData = compiled?.files.get(name);
  // The bundler writes ASCII only.
  const script = new Script(readFileSync(filename, 'latin1'), { filename, ...(cachedData && { cachedData }) });
  if (cachedData === undefined || script.cachedDataRejected === true) incomplete = true;
  scripts.set(name, script);
  const module = { exports: {} };
  modules.set(name, module);
  const { href } = pathToFileURL(filename);
  (script.runInThisContext() as Wrapped)(module.exports, requireFrom, module, filename, directory, href);
  return module.exports;
}

/** Files of the bundle lie side by side; all else is node's or a package. */
function requireFrom(specifier: string): unknown {
  if (specifier.startsWith('./')) return load(specifier.slice(2));
  try {
    return module.require(specifier);
  } catch (error) {
    if (!specifier.startsWith('@koromix/')) throw error;
    // A package of koffi's, which can be seen from there alone where packages are not laid out flat.
    return createRequire(require.resolve('koffi'))(specifier);
  }
}

let ran = 'none';
process.on('exit', (code) => {
  const commands = compiled?.commands ?? [];
  if (cachePath === undefined) return;
  if (code !== 0 || process.uptime() > SHORT_RUN_S || (!incomplete && commands.includes(ran))) return;
  try {
    writeCodeCache(cachePath, () => {
      const files = new Map(compiled?.files);
      for (const [name, script] of scripts) files.set(name, script.createCachedData());
      return { commands: [...new Set([...commands, ran])], files };
    });
  } catch {
    // Without a cache, or a home, starting takes longer.
  }
});

void (load('imgtool.js')['main'] as typeof main)({ onCommand: (name) => (ran = name) });
