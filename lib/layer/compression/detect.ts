import { UnsupportedMediaTypeError } from '../../errors.js';
import { compressionOfBytes } from '../../spec/index.js';
import { isHeaderBlock } from '../tar/header.js';

/** How a layer blob is compressed. */
export type Compression = 'gzip' | 'zstd' | 'none';

/** Bytes `detectCompression` wants to see when the blob has as many. */
export const DETECT_BYTES = 512;

/**
 * Tells gzip, zstd and plain tar by their first bytes, whatever the media type says. Throws UnsupportedMediaTypeError.
 */
export function detectCompression(head: Uint8Array): Compression {
  const found = compressionOfBytes(head);
  if (found === 'gzip' || found === 'zstd') return found;
  if (head.length === 0 || isHeaderBlock(head)) return 'none';
  throw new UnsupportedMediaTypeError(
    found === undefined
      ? 'the layer is neither a tar archive nor one compressed with gzip or zstd'
      : `the layer is compressed with ${found}, which image layers do not use`,
    { mediaType: found === undefined ? 'application/octet-stream' : `application/x-${found}` },
  );
}
