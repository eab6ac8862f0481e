/**
 * Bundles the program for fast start-up: one chunk graph in dist/bundle, each worker its own entry beside it. What is
 * WebAssembly is compiled beside the code that loads it, bundled or not.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { main as compileAssembly } from 'assemblyscript/asc';
import { build } from 'esbuild';

rmSync('dist/bundle', { recursive: true, force: true });

const workers = ['compress-worker', 'inflate-worker', 'unpack-worker']
  .map((name) => [name, `lib/layer/${name}.ts`])
  .filter(([, source]) => existsSync(source));

await build({
  entryPoints: { imgtool: 'lib/cli/main.ts', ...Object.fromEntries(workers) },
  outdir: 'dist/bundle',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true,
  legalComments: 'none',
  // Native addons cannot be bundled; zlib-sync is optional and may be absent. BullMQ and
  // ioredis are loaded from their packages by the few who use a queue.
  external: ['koffi', 'zlib-sync', 'bullmq', 'ioredis'],
  // Bundled CommonJS dependencies call require() for node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});

mkdirSync('dist/lib/layer', { recursive: true });
const compiled = 'dist/lib/layer/deflate.wasm';
const { error, stderr } = await compileAssembly([
  'assembly/deflate/index.ts',
  ...['--outFile', compiled],
  ...['-O3', '--converge', '--noAssert'],
  // Nothing is allocated: see assembly/deflate/memory.ts. Pages of 64 KiB.
  ...['--runtime', 'stub', '--initialMemory', '42', '--memoryBase', '256'],
]);
if (error) throw new Error(stderr.toString() || error.message);
copyFileSync(compiled, 'dist/bundle/deflate.wasm');
