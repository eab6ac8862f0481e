import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw, type ZlibOptions } from 'node:zlib';
import { UnsupportedMediaTypeError } from '../errors.js';
import { canCompressZstd, zstdFrame } from '../sys/index.js';

/** Bytes of tar that are compressed as one piece; part of the format, since it decides the bytes that come out. */
export const COMPRESS_BLOCK = 1 << 20;

/** Pieces of COMPRESS_BLOCK bytes, the last may be shorter. */
export type Blocks = Iterable<Buffer> | AsyncIterable<Buffer>;

/** Twice as fast as zlib's own default of 6, for about 5 % more bytes. */
const GZIP_LEVEL = 3;
const ZSTD_LEVEL = 3;

/** The blob that a tar becomes; without `level` at the usual one. Throws UnsupportedMediaTypeError: zstd without libzstd. */
export function compress(tar: Blocks, compression: 'gzip' | 'zstd' | 'none', level: number | undefined): Blocks {
  if (compression === 'gzip') return gzipBlocks(tar, level ?? GZIP_LEVEL);
  if (compression === 'zstd') return zstdBlocks(tar, level ?? ZSTD_LEVEL);
  return tar;
}

const WINDOW = 1 << 15;
const deflate = promisify<Uint8Array, ZlibOptions, Buffer>(deflateRaw);

/**
 * One gzip member (RFC 1952, no name, no time) of `blocks`, which are deflated in parallel by node's thread pool: each
 * starts from the last 32 KiB of the one before and ends on a byte boundary. The bytes depend on the data, the level and
 * the zlib bundled with node, never on the number of cores. Memory: twice the cores in blocks. The blocks are kept until
 * compressed: the caller must not reuse their memory.
 */
export async function* gzipBlocks(blocks: Blocks, level: number): AsyncGenerator<Buffer> {
  const limit = 2 * availableParallelism();
  const running: Promise<Buffer>[] = [];
  let crc = 0;
  let size = 0;
  let dictionary: Buffer | undefined;
  const start = (block: Buffer, flush: number): void => {
    const options: ZlibOptions = { level, windowBits: 15, memLevel: 8, chunkSize: 1 << 18, finishFlush: flush };
    const job = deflate(block, dictionary === undefined ? options : { ...options, dictionary });
    // Awaited in order further down: a failure must not count as unhandled before its turn.
    job.catch(() => undefined);
    running.push(job);
  };
  yield Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  for await (const block of blocks) {
    crc = crc32(block, crc);
    size += block.length;
    start(block, constants.Z_SYNC_FLUSH);
    dictionary = block.length >= WINDOW ? block.subarray(block.length - WINDOW) : block;
    if (running.length >= limit) yield await running.shift()!;
  }
  for (const job of running) yield await job;
  const trailer = Buffer.alloc(10);
  // An empty last block with fixed codes ends the stream.
  trailer.writeUInt16LE(0x0003, 0);
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(size % 2 ** 32, 6);
  yield trailer;
}

/** One zstd frame for each block, all frames a valid stream together. Throws UnsupportedMediaTypeError without libzstd. */
export async function* zstdBlocks(blocks: Blocks, level: number): AsyncGenerator<Buffer> {
  if (!canCompressZstd())
    throw new UnsupportedMediaTypeError('zstd layers cannot be written: libzstd.so.1 is not installed', {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
      hint: 'install libzstd1 or use --compression gzip',
    });
  for await (const block of blocks) {
    yield zstdFrame(block, level);
    // Compression is synchronous: between blocks timers, signals and the writer get their turn.
    await setImmediate();
  }
}
