import { execFileSync } from 'node:child_process';

/** `data` as one zstd frame, made by the zstd program. */
export function zstdCompress(data: Uint8Array): Buffer {
  return execFileSync('zstd', ['-q', '-c', '-1'], { input: data, maxBuffer: 256 << 20 });
}
