import { constants, deflateRawSync } from 'node:zlib';
import { zstdFrame } from '../sys/index.js';
import { COMPRESS_BLOCK } from './block-pool.js';
import type { CompressJob } from './worker-protocol.js';

/**
 * Gzip: deflated with the dictionary, ending on a byte boundary, without header and trailer. Zstd: a frame. In memory of its
 * own. Throws RangeError on a level that libzstd does not take.
 */
export function compressBlock(job: CompressJob): Uint8Array<ArrayBuffer> {
  const bytes = job.compression === 'gzip' ? deflate(job) : zstdFrame(job.block, job.level);
  return bytes as Uint8Array<ArrayBuffer>;
}

function deflate({ block, level, dictionary }: CompressJob): Buffer {
  return deflateRawSync(block, {
    level,
    windowBits: 15,
    memLevel: 8,
    // Room for any output: pieces would be joined by a copy.
    chunkSize: COMPRESS_BLOCK + (COMPRESS_BLOCK >> 6),
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(dictionary && { dictionary }),
  });
}
