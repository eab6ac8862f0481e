import { execFileSync } from 'node:child_process';

/** `data` as one zstd frame, made by the zstd program from a pipe. */
export function zstdCompress(data: Uint8Array, options: readonly string[] = []): Buffer {
  return execFileSync('zstd', ['-q', '-c', '-1', ...options], { input: data, maxBuffer: 256 << 20 });
}

/** What zstd frames hold, read by the zstd program. */
export function zstdDecompress(data: Uint8Array): Buffer {
  return execFileSync('zstd', ['-q', '-d', '-c'], { input: data, maxBuffer: 256 << 20 });
}
