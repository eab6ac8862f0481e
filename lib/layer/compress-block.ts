import { constants, deflateRawSync } from 'node:zlib';
import { zstdFrame } from '../sys/index.js';
import { COMPRESS_BLOCK } from './block-pool.js';
import { deflate } from '../deflate/index.js';
import type { CompressJob } from './worker-protocol.js';

const ZSTD_LEVEL = 3;

/**
 * Compresses one block. Gzip: raw deflate data that uses the dictionary and ends on a byte boundary, without header and
 * trailer. Zstd: one frame. The result has its own memory. Throws RangeError for a level that libzstd does not support.
 */
export function compressBlock({ block, compression, level, dictionary }: CompressJob): Uint8Array<ArrayBuffer> {
  if (compression === 'gzip' && level === undefined) return deflate(block, dictionary);
  const bytes = compression === 'gzip' ? zlibDeflate(block, level!, dictionary) : zstdFrame(block, level ?? ZSTD_LEVEL);
  return bytes as Uint8Array<ArrayBuffer>;
}

function zlibDeflate(block: Uint8Array, level: number, dictionary?: Uint8Array): Buffer {
  return deflateRawSync(block, {
    level,
    windowBits: 15,
    memLevel: 8,
    // Fits any output; several pieces would have to be joined by a copy.
    chunkSize: COMPRESS_BLOCK + (COMPRESS_BLOCK >> 6),
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(dictionary && { dictionary }),
  });
}
