import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { LayerFormatError } from '../../errors.js';
import { COMPRESSION_HEAD_BYTES, compressionOfBytes, digestFrom, type DiffId } from '../../spec/index.js';
import { filterProcess, Semaphore } from '../../util/index.js';
import type { V1Layer } from './types.js';

const BLOCK_BYTES = 1024 * 1024;
/**
 * A layer may always expand to this size in bytes, and beyond it to MAX_EXPANSION times its size: each byte is hashed,
 * and requests must end.
 */
const EXPANSION_FLOOR = 64 * 1024 * 1024;
const MAX_EXPANSION = 100;
/** Limits the layers read concurrently. */
const inspections = new Semaphore(2);

/**
 * Detects a layer's compression from its first bytes and computes the diffID of its tar. Throws LayerFormatError when
 * it cannot be decompressed or expands too much, CommandError when the decompression program is missing.
 */
export function inspectLayer(file: FileHandle, signal: AbortSignal): Promise<Pick<V1Layer, 'compression' | 'diffId'>> {
  return inspections.run(() => inspect(file, signal));
}

async function inspect(file: FileHandle, signal: AbortSignal): Promise<Pick<V1Layer, 'compression' | 'diffId'>> {
  const head = Buffer.alloc(COMPRESSION_HEAD_BYTES);
  await file.read(head, 0, head.length, 0);
  const found = compressionOfBytes(head);
  // No client compresses layers this way, so they are stored unchanged.
  const compression = found === undefined || found === 'lz4' ? 'none' : found;
  const hash = createHash('sha256');
  const limit = Math.max(EXPANSION_FLOOR, MAX_EXPANSION * (await file.stat()).size);
  let size = 0;
  try {
    for await (const chunk of tarOf(file, compression, signal)) {
      size += chunk.length;
      if (size > limit)
        throw new LayerFormatError(`the ${compression} layer expands to more than the limit of ${limit} bytes`);
      hash.update(chunk);
    }
  } catch (cause) {
    const { code, exitCode } = cause as { code?: string; exitCode?: number };
    if (!String(code).startsWith('Z_') && exitCode === undefined) throw cause;
    throw new LayerFormatError(`the ${compression} layer is corrupt: ${(cause as Error).message}`, { cause });
  }
  return { compression, diffId: digestFrom(hash) as DiffId };
}

/** The tar of a stored layer. Throws the errors of its decompressor. */
export function tarOf(
  file: FileHandle,
  compression: V1Layer['compression'],
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  switch (compression) {
    case 'none':
      return blocksOf(file);
    case 'gzip':
      return gunzipped(blocksOf(file));
    case 'bzip2':
    case 'xz':
    case 'zstd':
      return filterProcess([compression, '--decompress', '--stdout'], blocksOf(file), {
        signal,
        hint: `install the Debian package ${compression === 'xz' ? 'xz-utils' : compression}`,
      });
  }
}

async function* blocksOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, block.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield block.subarray(0, bytesRead);
  }
}

async function* gunzipped(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const input = Readable.from(source, { objectMode: false });
  input.on('error', (error) => gunzip.destroy(error));
  try {
    yield* input.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}
