import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { homeDirectory } from '../util/index.js';

/** A parsed config file and its path. */
export interface ConfigFile {
  readonly path: string;
  readonly document: Readonly<Record<string, unknown>>;
}

/** Candidate paths of config files, highest precedence first. */
export function configPaths(env: NodeJS.ProcessEnv): readonly string[] {
  // The XDG base directory specification says to ignore relative paths.
  const home =
    env.XDG_CONFIG_HOME?.startsWith('/') === true ? env.XDG_CONFIG_HOME : join(homeDirectory(env), '.config');
  return [join(home, 'imgtool/config.yaml'), '/etc/imgtool/config.yaml'];
}

/** Reads the config files that exist; the YAML parser is loaded only for them. Throws UsageError. */
export async function readConfigFiles(paths: readonly string[]): Promise<readonly ConfigFile[]> {
  const files: ConfigFile[] = [];
  for (const path of paths) {
    const text = readIfThere(path);
    if (text !== undefined) files.push({ path, document: await parse(text, path) });
  }
  return files;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // A file that this user cannot read is meant for another user (HOME under sudo, root's credentials).
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined;
    throw new UsageError(`cannot read the config file ${path} (${code})`, { cause });
  }
}

async function parse(text: string, path: string): Promise<Record<string, unknown>> {
  // Bundled, a CommonJS package has only a default export.
  const { parse: parseYaml } = (await import('yaml')).default;
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (cause) {
    throw new UsageError(`config file ${path} is not YAML: ${(cause as Error).message.split('\n', 1)[0]}`, { cause });
  }
  if (document === null || document === undefined) return {};
  if (!isMapping(document)) throw new UsageError(`config file ${path} is not a mapping of keys to values`);
  return document;
}

/** Reports whether a YAML node is a mapping. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
