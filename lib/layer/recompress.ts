import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { digestFrom, type DiffId } from '../spec/index.js';
import { addressOf } from '../sys/index.js';
import { GrowingFile } from '../util/index.js';
import { BlockPool, COMPRESS_BLOCK } from './block-pool.js';
import { compress } from './compress.js';
import { BlobReader } from './compression/blob-reader.js';
import { decoderFor, decoderTurn } from './compression/decoder-for.js';
import { loadInflateEngine } from './compression/inflate-engines.js';
import type { InflateEngine } from './compression/inflate-engine.js';

export interface RecompressInput {
  /** File of the blob: gzip, zstd or a plain tar, detected from its bytes. */
  readonly path: string;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd; see `CompressOptions`. */
  readonly level?: number | undefined;
  /** Receives the new blob. Ended on success, destroyed with the error on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
  /** Called after every block with the size of the tar so far. Bytes. */
  readonly onProgress?: (bytes: number) => void;
}

/** The layer that was written. The consumer of `output` hashes and counts the blob. */
export interface RecompressedLayer {
  /** The diffID of the tar, for the caller to check. */
  readonly diffId: DiffId;
  /** Size of the tar. Bytes. */
  readonly tarSize: number;
}

let engine: InflateEngine | undefined;

/**
 * Writes the same tar as another blob, in one pass with constant memory. The same tar gives the same bytes as
 * `packLayer`. Concurrent calls run one after another. Throws LayerFormatError (corrupt), UnsupportedMediaTypeError,
 * AbortError; `output` is then destroyed.
 */
export function recompressLayer(input: RecompressInput): Promise<RecompressedLayer> {
  return decoderTurn.run(() => recompress(input));
}

async function recompress(input: RecompressInput): Promise<RecompressedLayer> {
  const { output, signal } = input;
  const pool = new BlockPool(input.compression);
  const tarHash = createHash('sha256');
  let tarSize = 0;
  const tar = async function* (fd: number): AsyncGenerator<Buffer> {
    for await (const block of tarBlocks(fd, pool)) {
      tarHash.update(block);
      tarSize += block.length;
      input.onProgress?.(tarSize);
      yield block;
    }
  };
  let fd: number | undefined;
  try {
    fd = openSync(input.path, 'r');
    // A tar is, apart from a few bytes, never smaller than its compressed form.
    const large = fstatSync(fd).size > 2 * COMPRESS_BLOCK;
    await pipeline(compress(tar(fd), { ...input, pool, large }), output, { signal });
    pool.close();
  } catch (error) {
    if (!output.destroyed) output.destroy(error as Error);
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  return { diffId: digestFrom(tarHash) as DiffId, tarSize };
}

/** The tar in a blob, in blocks of `pool`. The old compression must not affect the new one. */
async function* tarBlocks(fd: number, pool: BlockPool): AsyncGenerator<Buffer> {
  const blob = new BlobReader(() => false);
  blob.open(fd, GrowingFile.complete(fstatSync(fd).size));
  const { decoder } = decoderFor(blob, () => (engine ??= loadInflateEngine()));
  for (;;) {
    const bytes = pool.take();
    const filled = await decoder.read({ bytes, address: addressOf(bytes) });
    if (filled > 0) yield bytes.subarray(0, filled);
    if (filled < bytes.length) return;
  }
}
