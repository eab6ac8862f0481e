/**
 * Bundles the program for fast start-up into dist/bundle, as ES modules: the program in files that are loaded when they are
 * needed, and each worker in a file of its own. What is WebAssembly is compiled beside the code that loads it, bundled or not.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
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
  minifySyntax: true,
  legalComments: 'none',
  // Native addons cannot be bundled; zlib-sync is optional and may be absent. BullMQ and
  // ioredis are loaded from their packages by the few who use a queue.
  external: ['koffi', 'zlib-sync', 'bullmq', 'ioredis'],
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
await build({
  ...COMMON,
  entryPoints: { imgtool: 'lib/cli/main.ts' },
  plugins: [WITHOUT_HTTP2, WITHOUT_EXECUTABLES],
  splitting: true,
});
await build({
  ...COMMON,
  entryPoints: ['compress-worker', 'inflate-worker', 'unpack-worker'].map((name) => `lib/layer/${name}.ts`),
});
await makeDeflate();

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
