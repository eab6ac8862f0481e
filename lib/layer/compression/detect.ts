import { UnsupportedMediaTypeError } from '../../errors.js';
import { compressionOfBytes } from '../../spec/index.js';
import { isHeaderBlock } from '../tar/header.js';

export type Compression = 'gzip' | 'zstd' | 'none';

/** The number of first bytes that `detectCompression` needs, unless the blob is shorter. */
export const DETECT_BYTES = 512;

/** Detects gzip, zstd or plain tar from the first bytes; ignores the media type. Throws UnsupportedMediaTypeError. */
export function detectCompression(head: Uint8Array): Compression {
  const found = compressionOfBytes(head);
  if (found === 'gzip' || found === 'zstd') return found;
  if (head.length === 0 || isHeaderBlock(head)) return 'none';
  throw new UnsupportedMediaTypeError(
    found === undefined
      ? 'the layer is neither a tar archive nor compressed with gzip or zstd'
      : `the layer is compressed with ${found}, which image layers do not use`,
    { mediaType: found === undefined ? 'application/octet-stream' : `application/x-${found}` },
  );
}
