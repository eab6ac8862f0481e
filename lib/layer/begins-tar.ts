import { LayerFormatError, UnsupportedMediaTypeError } from '../errors.js';
import { addressOf } from '../sys/index.js';
import { GrowingFile } from '../util/index.js';
import { BlobReader } from './compression/blob-reader.js';
import { decoderFor, decoderTurn } from './compression/decoder-for.js';
import { loadInflateEngine } from './compression/inflate-engines.js';
import { BLOCK_BYTES, isHeaderBlock } from './tar/header.js';

/**
 * True when a file, plain or compressed with gzip or zstd, starts with a tar header. `fd` is open for reading; the file
 * has `size` bytes. Throws node's system errors.
 */
export function beginsTar(fd: number, size: number): Promise<boolean> {
  return decoderTurn.run(() => readHeader(fd, size));
}

async function readHeader(fd: number, size: number): Promise<boolean> {
  const bytes = new Uint8Array(BLOCK_BYTES);
  const blob = new BlobReader(() => false);
  blob.open(fd, GrowingFile.complete(size));
  try {
    const { decoder } = decoderFor(blob, () => loadInflateEngine(undefined));
    const length = await decoder.read({ bytes, address: addressOf(bytes) });
    return length === BLOCK_BYTES && bytes.some((byte) => byte !== 0) && isHeaderBlock(bytes);
  } catch (error) {
    if (error instanceof LayerFormatError || error instanceof UnsupportedMediaTypeError) return false;
    throw error;
  }
}
