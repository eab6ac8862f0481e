/**
 * Bundles the program for fast start-up into dist/bundle, as CommonJS: the program in files that are loaded when they are
 * needed, `start.js` that loads them (lib/cli/start.ts), and each worker in a file of its own. What is WebAssembly is compiled
 * beside the code that loads it, bundled or not.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { main as compileAssembly } from 'assemblyscript/asc';
import { build, transform } from 'esbuild';

const OUT = 'dist/bundle';
const COMMON = {
  outdir: OUT,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true,
  legalComments: 'none',
  // Native addons cannot be bundled; zlib-sync is optional and may be absent. BullMQ and
  // ioredis are loaded from their packages by the few who use a queue.
  external: ['koffi', 'zlib-sync', 'bullmq', 'ioredis'],
  define: { 'import.meta.url': 'moduleUrl', 'import.meta.dirname': '__dirname' },
};
const MODULE_URL = "const moduleUrl = require('node:url').pathToFileURL(__filename).href;";

/** Got loads all of HTTP/2 with itself, and opens a TLS socket; no registry is spoken to by it. */
const WITHOUT_HTTP2 = {
  name: 'without-http2',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^http2-wrapper$/ }, ({ path }) => ({ path, namespace: 'empty' }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export default {};' }));
  },
};

/** Commander can run commands that are programs of their own; ours are none. */
const WITHOUT_EXECUTABLES = {
  name: 'without-executables',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ path, importer }) =>
      importer.includes('/node_modules/commander/') ? { path, namespace: 'no-executables' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'no-executables' }, () => ({ contents: 'module.exports = {};' }));
  },
};

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
writeFileSync(join(OUT, 'package.json'), '{ "type": "commonjs" }\n');

// Code that was kept by another build is of no use, nor is a cache that is laid out in another way.
const digest = createHash('sha256').update(readFileSync('lib/cli/code-cache.ts'));
for (const { path, text } of await programFiles()) {
  digest.update(text);
  writeFileSync(path, text);
}

await build({
  ...COMMON,
  entryPoints: { start: 'lib/cli/start.ts' },
  format: 'cjs',
  define: { ...COMMON.define, BUILD: JSON.stringify(digest.digest('hex').slice(0, 16)) },
});
await build({
  ...COMMON,
  entryPoints: ['compress-worker', 'inflate-worker', 'unpack-worker'].map((name) => `lib/layer/${name}.ts`),
  format: 'cjs',
  banner: { js: MODULE_URL },
});
await makeDeflate();

/** The program's files as functions of what CommonJS gives a module. Only ES modules can be split by esbuild: first as such. */
async function programFiles() {
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: { imgtool: 'lib/cli/main.ts' },
    // Koffi is made to be bundled but for its native code, and loading what is spread over five files takes long.
    external: [...COMMON.external.filter((name) => name !== 'koffi'), '@koromix/*'],
    alias: { koffi: createRequire(import.meta.url).resolve('koffi') },
    inject: ['lib/http/list-format.ts'],
    define: { ...COMMON.define, 'Intl.ListFormat': 'LazyListFormat' },
    plugins: [WITHOUT_HTTP2, WITHOUT_EXECUTABLES],
    splitting: true,
    format: 'esm',
    write: false,
  });
  return Promise.all(
    outputFiles.map(async ({ path, text }) => {
      const { code } = await transform(text, {
        format: 'cjs',
        platform: 'node',
        target: COMMON.target,
        supported: { 'dynamic-import': false },
        sourcefile: basename(path),
      });
      return { path, text: `(function (exports, require, module, __filename, __dirname, moduleUrl) {${code}})` };
    }),
  );
}

async function makeDeflate() {
  const compiled = 'dist/lib/layer/deflate.wasm';
  mkdirSync(dirname(compiled), { recursive: true });
  const { error, stderr } = await compileAssembly([
    'lib/layer/assembly/index.ts',
    ...['--outFile', compiled],
    ...['-O3', '--converge', '--noAssert'],
    // Nothing is allocated: see lib/layer/assembly/memory.ts. Pages of 64 KiB.
    ...['--runtime', 'stub', '--initialMemory', '42', '--memoryBase', '256'],
  ]);
  if (error) throw new Error(stderr.toString() || error.message);
  copyFileSync(compiled, join(OUT, basename(compiled)));
}
