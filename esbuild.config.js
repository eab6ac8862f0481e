/**
 * Bundles the program for fast start-up into dist/bundle, as ES modules: the program in files that are loaded when they are
 * needed, and each worker in a file of its own. What is WebAssembly is compiled beside the code that loads it, bundled or
 * not, and completion scripts are copied there.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { main as compileAssembly } from 'assemblyscript/asc';
import { build } from 'esbuild';

const OUT = 'dist/bundle';
const PROGRAM = 'lib/cli/main.ts';
const LIBRARY = resolve('lib/index.ts');
const COMMON = {
  outdir: OUT,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  mainFields: ['module', 'main'],
  minifySyntax: true,
  legalComments: 'none',
  // Native addons cannot be bundled: those of koffi are packages of their own, zlib-sync may be absent, and msgpackr does
  // without its extension.
  external: ['@koromix/*', 'zlib-sync', 'msgpackr-extract'],
};

/** Packages in CommonJS require modules of node. */
const REQUIRE =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

/** Got loads all of HTTP/2 with itself, and opens a TLS socket; no registry is spoken to by it. */
const WITHOUT_HTTP2 = {
  name: 'without-http2',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^http2-wrapper$/ }, ({ path }) => ({ path, namespace: 'empty' }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export default {};' }));
  },
};

/**
 * If one file takes a whole door (`import('../spec/index.js')`), esbuild has everybody who enters by that door load the whole
 * room. So those who take it whole, `import()` and the library, get a copy of the door in front of the same files.
 */
const OWN_DOORS = {
  name: 'own-doors',
  setup({ onResolve, resolve: resolveAs }) {
    onResolve({ filter: /^\.{1,2}\/.*\.js$/ }, async ({ path, pluginData, ...where }) => {
      const isLazy = where.kind === 'dynamic-import' && path.endsWith('/index.js');
      if (pluginData === OWN_DOORS || !(isLazy || where.importer === LIBRARY)) return undefined;
      return { ...(await resolveAs(path, { ...where, pluginData: OWN_DOORS })), suffix: '?whole' };
    });
  },
};

/**
 * Puts files that are mostly loaded together into one, which loads faster than thirty: what every command line needs, what
 * `imgtool images` needs besides, and the rest of the low rooms. esbuild keeps files apart that are not loaded together in all
 * cases, so each part that needs one file of a group imports all of them.
 */
function inFewFiles({ outputs }) {
  const parts = new Map(
    Object.entries(outputs).flatMap(([output, { entryPoint }]) =>
      entryPoint === undefined ? [] : [[resolve(entryPoint.split('?')[0]), filesOf(outputs, output)]],
    ),
  );
  const start = parts.get(resolve(PROGRAM));
  const images = ['cli/imgtool-for', 'imgtool/drivers', 'imgtool/image-list', 'metadata/index', 'cli/commands/images'];
  const groups = [
    start,
    images.flatMap((name) => parts.get(resolve(`lib/${name}.ts`))),
    [...parts.values()].flat().filter((file) => /^lib\/(?:errors|spec|util)\//.test(file)),
  ].map((files, index, all) => [...new Set(files)].filter((file) => !all.slice(0, index).flat().includes(file)));
  parts.delete(LIBRARY);
  return {
    name: 'in-few-files',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^group:/ }, ({ path }) => ({ path, namespace: 'group', sideEffects: true }));
      onResolve({ filter: /^\// }, ({ path, namespace }) =>
        namespace === 'group' ? { path, sideEffects: true } : undefined,
      );
      onLoad({ filter: /.*/, namespace: 'group' }, ({ path }) => ({
        contents: importsOf(groups[path.slice('group:'.length)].map((file) => resolve(file))),
        resolveDir: '.',
      }));
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const files = parts.get(path);
        if (files === undefined) return undefined;
        const needed = groups.flatMap((group, index) => (files.some((file) => group.includes(file)) ? index : []));
        const contents = importsOf(needed.map((index) => `group:${index}`)) + readFileSync(path, 'utf8');
        return { contents, loader: 'ts' };
      });
    },
  };
}

function importsOf(paths) {
  return paths.map((path) => `import ${JSON.stringify(path)};\n`).join('');
}

/** The files of ours whose code is in an output, and in those that it imports. */
function filesOf(outputs, output) {
  const loaded = new Set();
  const load = (path) => {
    if (loaded.has(path) || outputs[path] === undefined) return;
    loaded.add(path);
    for (const { kind, path: other } of outputs[path].imports) if (kind === 'import-statement') load(other);
  };
  load(output);
  return [...loaded]
    .flatMap((path) => Object.entries(outputs[path].inputs))
    .filter(([file, { bytesInOutput }]) => bytesInOutput > 0 && file !== PROGRAM && file.startsWith('lib/'))
    .map(([file]) => file.split('?')[0]);
}

rmSync(OUT, { recursive: true, force: true });
const OPTIONS = {
  ...COMMON,
  // The program and the library share their code.
  entryPoints: { imgtool: PROGRAM, index: LIBRARY },
  metafile: true,
  plugins: [WITHOUT_HTTP2, OWN_DOORS],
  splitting: true,
  write: false,
};
const { metafile } = await build(OPTIONS);
const program = await build({
  ...OPTIONS,
  plugins: [...OPTIONS.plugins, inFewFiles(metafile)],
  // Those of `inFewFiles`, which are there for their place alone.
  logOverride: { 'ignored-bare-import': 'silent' },
});
mkdirSync(OUT, { recursive: true });
for (const { path, text } of program.outputFiles)
  writeFileSync(path, text.includes('typeof require') ? `${REQUIRE}\n${text}` : text);
const workers = await build({
  ...COMMON,
  banner: { js: REQUIRE },
  metafile: true,
  entryPoints: ['compress-worker', 'inflate-worker', 'unpack-worker'].map((name) => `lib/layer/${name}.ts`),
});
await makeDeflate();
copyCompletionScripts();
writeLicenses([program, workers].flatMap(({ metafile }) => Object.keys(metafile.inputs)));

function copyCompletionScripts() {
  for (const shell of ['bash', 'zsh', 'fish'])
    for (const directory of ['dist/lib/cli/completion', OUT]) {
      mkdirSync(directory, { recursive: true });
      copyFileSync(`lib/cli/completion/imgtool.${shell}`, join(directory, `imgtool.${shell}`));
    }
}

async function makeDeflate() {
  const compiled = 'dist/lib/deflate/deflate.wasm';
  mkdirSync(dirname(compiled), { recursive: true });
  const { error, stderr } = await compileAssembly([
    'lib/deflate/assembly/index.ts',
    ...['--outFile', compiled],
    ...['-O3', '--converge', '--noAssert'],
    // Nothing is allocated: see lib/deflate/assembly/memory.ts. Pages of 64 KiB.
    ...['--runtime', 'stub', '--initialMemory', '42', '--memoryBase', '256'],
  ]);
  if (error) throw new Error(stderr.toString() || error.message);
  copyFileSync(compiled, join(OUT, basename(compiled)));
}

/** The licences of the packages whose code is in the bundle, which ask to be passed on with it. */
function writeLicenses(inputs) {
  const directories = inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  const texts = [...new Set(directories)].sort().map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined && license === undefined) throw new Error(`${name} has no licence`);
    const text = file === undefined ? '' : `\n${readFileSync(join(directory, file), 'utf8').trim()}\n`;
    return `${name} ${version} (${license})\n${text}`;
  });
  writeFileSync(join(OUT, 'LICENSES'), texts.join(`\n${'-'.repeat(72)}\n`));
}
