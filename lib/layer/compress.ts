import { availableParallelism } from 'node:os';
import { crc32 } from 'node:zlib';
import { UnsupportedMediaTypeError } from '../errors.js';
import { canCompressZstd } from '../sys/index.js';
import type { BlockPool } from './block-pool.js';
import { compressBlock } from './compress-block.js';
import { JobThread } from './job-thread.js';
import { StoppedError } from './stopped-error.js';
import { errorFromWorker, type CompressJob } from './worker-protocol.js';

/** Blocks of a pool, all full but the last. */
export type Blocks = Iterable<Buffer> | AsyncIterable<Buffer>;

/** How a tar is compressed. */
export interface CompressOptions {
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd (3 unless given); without one, gzip is made by our own deflate. */
  readonly level?: number | undefined;
  /** Gets the blocks back; but those that go out as they are. */
  readonly pool: BlockPool;
  /** As many as there are cores, at most MAX_THREADS, unless given. */
  readonly threads?: number;
  /** Surely more than one block: threads start before the first one is there. */
  readonly large?: boolean;
}

const WINDOW = 1 << 15;
/** The thread that reads and hashes the tar cannot keep more busy. */
const MAX_THREADS = 8;

/**
 * The blob that a tar becomes. The bytes depend on the data and the level; with a level of gzip, on the version of the zlib
 * that node bundles, and with zstd, on that of libzstd; never on the number of threads. Throws UnsupportedMediaTypeError: zstd without libzstd.
 */
export function compress(tar: Blocks, options: CompressOptions): Blocks {
  if (options.compression === 'gzip') return gzipMember(tar, options);
  if (options.compression === 'zstd') return zstdFrames(tar, options);
  return tar;
}

/**
 * One gzip member (RFC 1952, no name, no time). Each block is deflated on its own, from the last 32 KiB of the one before,
 * and ends on a byte boundary.
 */
async function* gzipMember(blocks: Blocks, options: CompressOptions): AsyncGenerator<Buffer> {
  let crc = 0;
  let size = 0;
  const jobs = async function* (): AsyncGenerator<CompressJob> {
    let before: Buffer | undefined;
    for await (const block of blocks) {
      crc = crc32(block, crc);
      size += block.length;
      // Copied before the block is given away: it may be used again.
      const window = Buffer.from(block.subarray(-WINDOW));
      yield { block, compression: 'gzip', level: options.level, ...(before && { dictionary: before }) };
      before = window;
    }
  };
  yield Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  yield* compressInThreads(jobs(), options);
  const trailer = Buffer.alloc(10);
  // An empty last block with fixed codes ends the stream.
  trailer.writeUInt16LE(0x0003, 0);
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(size % 2 ** 32, 6);
  yield trailer;
}

/** One zstd frame for each block, all frames a valid stream together. */
async function* zstdFrames(blocks: Blocks, options: CompressOptions): AsyncGenerator<Buffer> {
  if (!canCompressZstd())
    throw new UnsupportedMediaTypeError('zstd layers cannot be written: libzstd.so.1 is not installed', {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
      hint: 'install libzstd1 or use --compression gzip',
    });
  const jobs = async function* (): AsyncGenerator<CompressJob> {
    for await (const block of blocks) yield { block, compression: 'zstd', level: options.level };
  };
  yield* compressInThreads(jobs(), options);
}

/**
 * The results in the order of the jobs, whose blocks go back to `pool`. Memory: four blocks for each thread. What fits into
 * one block is not worth a thread.
 */
async function* compressInThreads(
  jobs: AsyncGenerator<CompressJob>,
  { pool, large, threads: wanted = Math.min(availableParallelism(), MAX_THREADS) }: CompressOptions,
): AsyncGenerator<Buffer> {
  const threads: JobThread<CompressJob, Uint8Array>[] = [];
  const running: Promise<Buffer>[] = [];
  const start = async (job: CompressJob): Promise<Buffer> => {
    const thread = threads.reduce((least, other) => (other.pending < least.pending ? other : least));
    const reply = await thread.run(job);
    pool.give(job.block as Buffer);
    if (reply.kind === 'done') return asBuffer(reply.result);
    throw reply.kind === 'failed' ? errorFromWorker(reply.failure) : new StoppedError();
  };
  const startThreads = (): void => {
    while (threads.length < wanted) threads.push(new JobThread('./compress-worker.js'));
  };
  try {
    if (large === true) startThreads();
    const first = await jobs.next();
    if (first.done === true) return;
    let next = await jobs.next();
    if (next.done === true) {
      const compressed = compressBlock(first.value);
      pool.give(first.value.block as Buffer);
      yield asBuffer(compressed);
      return;
    }
    startThreads();
    const enqueue = (job: CompressJob): void => {
      const result = start(job);
      // Awaited in order: a failure must not count as unhandled before its turn.
      result.catch(() => undefined);
      running.push(result);
    };
    enqueue(first.value);
    for (; next.done !== true; next = await jobs.next()) {
      enqueue(next.value);
      if (running.length >= 3 * threads.length) yield await running.shift()!;
    }
    for (const result of running) yield await result;
  } finally {
    await jobs.return(undefined);
    await Promise.all(threads.map((thread) => thread.close()));
  }
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
