/**
 * Bundles the program for fast start-up into dist/bundle, as ES modules: the program in files that are loaded when they are
 * needed, and each worker in a file of its own. What is WebAssembly is compiled beside the code that loads it, bundled or
 * not, and completion scripts are copied there.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { main as compileAssembly } from 'assemblyscript/asc';
import { build } from 'esbuild';

const OUT = 'dist/bundle';
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
  // Packages in CommonJS require modules of node.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
};

/** Got loads all of HTTP/2 with itself, and opens a TLS socket; no registry is spoken to by it. */
const WITHOUT_HTTP2 = {
  name: 'without-http2',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^http2-wrapper$/ }, ({ path }) => ({ path, namespace: 'empty' }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export default {};' }));
  },
};

/**
 * A door (`lib/spec/index.js`) of which something is loaded as a whole has all that enter by it load the whole room. So those
 * who take it whole, `import()` and the library, get a door of their own in front of the same files.
 */
const OWN_DOORS = {
  name: 'own-doors',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\.{1,2}\/.*\bindex\.js$/ }, async ({ path, pluginData, ...where }) => {
      const isWhole = where.kind === 'dynamic-import' || where.importer.endsWith('/lib/index.ts');
      if (!isWhole || pluginData === OWN_DOORS) return undefined;
      return { ...(await resolve(path, { ...where, pluginData: OWN_DOORS })), suffix: '?whole' };
    });
  },
};

rmSync(OUT, { recursive: true, force: true });
const program = await build({
  ...COMMON,
  // The program and the library share their code.
  entryPoints: { imgtool: 'lib/cli/main.ts', index: 'lib/index.ts' },
  metafile: true,
  plugins: [WITHOUT_HTTP2, OWN_DOORS],
  splitting: true,
});
const workers = await build({
  ...COMMON,
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
