import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { LayerFormatError } from '../../errors.js';
import { digestFrom, type DiffId } from '../../spec/index.js';
import { filterProcess } from '../../util/index.js';
import type { V1Layer } from './types.js';

const MAGIC: readonly { readonly compression: V1Layer['compression']; readonly magic: readonly number[] }[] = [
  { compression: 'gzip', magic: [0x1f, 0x8b, 0x08] },
  { compression: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { compression: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { compression: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
];
const BLOCK_BYTES = 1024 * 1024;

/**
 * Finds out how a layer is compressed, by its first bytes, and the diffID of its tar. Throws LayerFormatError when it cannot be
 * decompressed, CommandError when the program for it is missing.
 */
export async function inspectLayer(
  file: FileHandle,
  signal: AbortSignal,
): Promise<Pick<V1Layer, 'compression' | 'diffId'>> {
  const head = Buffer.alloc(6);
  await file.read(head, 0, head.length, 0);
  const compression =
    MAGIC.find(({ magic }) => magic.every((byte, i) => head[i] === byte))?.compression ?? ('none' as const);
  const hash = createHash('sha256');
  try {
    for await (const chunk of tarOf(file, compression, signal)) hash.update(chunk);
  } catch (cause) {
    const { code, exitCode } = cause as { code?: string; exitCode?: number };
    if (!String(code).startsWith('Z_') && exitCode === undefined) throw cause;
    throw new LayerFormatError(`the ${compression} layer is corrupt: ${(cause as Error).message}`, { cause });
  }
  return { compression, diffId: digestFrom(hash) as DiffId };
}

/** The tar of a stored layer. Throws what its decompressor throws. */
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
