/** Bundles the program for fast start-up: one chunk graph in dist/bundle, each worker its own entry beside it. */
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist/bundle', { recursive: true, force: true });

await build({
  entryPoints: {
    imgtool: 'lib/cli/main.ts',
    'inflate-worker': 'lib/layer/inflate-worker.ts',
    'unpack-worker': 'lib/layer/unpack-worker.ts',
  },
  outdir: 'dist/bundle',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true,
  legalComments: 'none',
  // Native addons cannot be bundled; zlib-sync is optional and may be absent.
  external: ['koffi', 'zlib-sync'],
  // Bundled CommonJS dependencies call require() for node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});
