import { UnsupportedMediaTypeError } from '../../errors.js';
import { isHeaderBlock } from '../tar/header.js';

/** How a layer blob is compressed. */
export type Compression = 'gzip' | 'zstd' | 'none';

const FOREIGN: readonly { readonly name: string; readonly magic: readonly number[]; readonly mediaType: string }[] = [
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], mediaType: 'application/x-bzip2' },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], mediaType: 'application/x-xz' },
  { name: 'lz4', magic: [0x04, 0x22, 0x4d, 0x18], mediaType: 'application/x-lz4' },
];

/** Bytes `detectCompression` wants to see when the blob has as many. */
export const DETECT_BYTES = 512;

/**
 * Tells gzip, zstd and plain tar by their first bytes, whatever the media type says. Throws UnsupportedMediaTypeError.
 */
export function detectCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd && head[0] === 0x28) return 'zstd';
  if (head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18 && (head[0]! & 0xf0) === 0x50) return 'zstd';
  if (head.length === 0 || isHeaderBlock(head)) return 'none';
  const foreign = FOREIGN.find(({ magic }) => magic.every((byte, index) => head[index] === byte));
  throw new UnsupportedMediaTypeError(
    foreign === undefined
      ? 'the layer is neither a tar archive nor one compressed with gzip or zstd'
      : `the layer is compressed with ${foreign.name}, which image layers do not use`,
    { mediaType: foreign?.mediaType ?? 'application/octet-stream' },
  );
}
