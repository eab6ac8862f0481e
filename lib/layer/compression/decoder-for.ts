import type { BlobReader } from './blob-reader.js';
import type { Decoder } from './decoder.js';
import { DETECT_BYTES, detectCompression, type Compression } from './detect.js';
import { GzipDecoder } from './gzip-decoder.js';
import { PlainDecoder } from './plain-decoder.js';
import { ZstdDecoder } from './zstd-decoder.js';
import type { InflateEngine } from './inflate-engine.js';

/**
 * Tells from its first bytes how the blob that was opened is compressed, and what decompresses it. One decoder of a thread
 * at a time. Throws UnsupportedMediaTypeError, and what reading throws.
 */
export function decoderFor(
  blob: BlobReader,
  engine: () => InflateEngine,
): { readonly compression: Compression; readonly decoder: Decoder } {
  blob.ensure(DETECT_BYTES);
  const compression = detectCompression(blob.bytes.subarray(blob.start, blob.end));
  if (compression === 'gzip') return { compression, decoder: new GzipDecoder(blob, engine()) };
  return { compression, decoder: compression === 'zstd' ? new ZstdDecoder(blob) : new PlainDecoder(blob) };
}
