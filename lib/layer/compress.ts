import { availableParallelism } from 'node:os';
import { crc32 } from 'node:zlib';
import { UnsupportedMediaTypeError } from '../errors.js';
import { canCompressZstd } from '../sys/index.js';
import type { BlockPool } from './block-pool.js';
import { compressBlock } from './compress-block.js';
import { JobThread } from './job-thread.js';
import { StoppedError } from './stopped-error.js';
import { workerError, type CompressJob } from './worker-protocol.js';

/** Blocks of a pool; all are full except the last. */
type Blocks = Iterable<Buffer> | AsyncIterable<Buffer>;

export interface CompressOptions {
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd (default 3). Gzip without a level uses imgtool's own deflate. */
  readonly level?: number | undefined;
  /** Receives the blocks back, except those passed on uncompressed. */
  readonly pool: BlockPool;
  /** Default: the number of cores, at most MAX_THREADS. */
  readonly threads?: number;
  /** The tar certainly has more than one block, so threads can start before the first block arrives. */
  readonly large?: boolean;
}

const WINDOW = 1 << 15;
/** More threads would wait for the one that reads and hashes the tar. */
const MAX_THREADS = 8;

/**
 * Compresses a tar into a blob. The bytes depend on the data, the level, and (for gzip with a level) the zlib version
 * bundled with node, or (for zstd) the version of libzstd, but never on the number of threads. Throws
 * UnsupportedMediaTypeError for zstd without libzstd.
 */
export function compress(tar: Blocks, options: CompressOptions): Blocks {
  if (options.compression === 'gzip') return gzipMember(tar, options);
  if (options.compression === 'zstd') return zstdFrames(tar, options);
  return tar;
}

/**
 * One gzip member (RFC 1952, without name and time). Each block is deflated separately, with the last 32 KiB of the
 * previous block as its dictionary, and ends on a byte boundary.
 */
async function* gzipMember(blocks: Blocks, options: CompressOptions): AsyncGenerator<Buffer> {
  let crc = 0;
  let size = 0;
  const jobs = async function* (): AsyncGenerator<CompressJob> {
    let before: Buffer | undefined;
    for await (const block of blocks) {
      crc = crc32(block, crc);
      size += block.length;
      // Copied now, because the block may be reused once it is given away.
      const window = Buffer.from(block.subarray(-WINDOW));
      yield { block, compression: 'gzip', level: options.level, ...(before && { dictionary: before }) };
      before = window;
    }
  };
  yield Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  yield* compressInThreads(jobs(), options);
  const trailer = Buffer.alloc(10);
  // An empty final block with fixed codes ends the stream.
  trailer.writeUInt16LE(0x0003, 0);
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(size % 2 ** 32, 6);
  yield trailer;
}

/** One zstd frame per block; the frames together are a valid stream. */
async function* zstdFrames(blocks: Blocks, options: CompressOptions): AsyncGenerator<Buffer> {
  if (!canCompressZstd())
    throw new UnsupportedMediaTypeError('cannot write zstd layers: libzstd.so.1 is not installed', {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
      hint: 'install libzstd1 or use --compression gzip',
    });
  const jobs = async function* (): AsyncGenerator<CompressJob> {
    for await (const block of blocks) yield { block, compression: 'zstd', level: options.level };
  };
  yield* compressInThreads(jobs(), options);
}

/**
 * The results in the order of the jobs, whose blocks return to `pool`. Uses four blocks of memory per thread. Input
 * that fits into one block does not start a thread.
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
    throw reply.kind === 'failed' ? workerError(reply.failure) : new StoppedError();
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
      // Results are awaited in order, so a failure must not count as unhandled before its turn.
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
