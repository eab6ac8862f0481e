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
import { decoderFor } from './compression/decoder-for.js';
import { loadInflateEngine } from './compression/inflate-engines.js';
import type { InflateEngine } from './compression/inflate-engine.js';

/** A layer blob to compress in another way. */
export interface RecompressInput {
  /** File of the blob: gzip, zstd or a plain tar, told by its bytes. */
  readonly path: string;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd; see `CompressOptions`. */
  readonly level?: number | undefined;
  /** Takes the new blob; ended on success, destroyed with the error on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
  /** Called after every block with the bytes of tar so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** The layer that was written; the consumer of `output` hashes and counts the blob. */
export interface RecompressedLayer {
  /** Of the tar inside: to be compared with what it should be. */
  readonly diffId: DiffId;
  /** Bytes. */
  readonly tarSize: number;
}

let engine: InflateEngine | undefined;

/**
 * Writes the same tar as another blob, in one pass and constant memory; the same tar gives the same bytes as `packLayer`
 * would. One at a time. Throws LayerFormatError (corrupt), UnsupportedMediaTypeError, AbortError; `output` is then destroyed.
 */
export async function recompressLayer(input: RecompressInput): Promise<RecompressedLayer> {
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
    // A tar is never smaller than what it is compressed to, but for a few bytes.
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

/** The tar in a blob, in blocks of `pool`: how it was compressed must not show in how it is compressed again. */
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
