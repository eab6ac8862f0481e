import type { BlobReader } from './blob-reader.js';
import type { Decoder } from './decoder.js';
import { DETECT_BYTES, detectCompression, type Compression } from './detect.js';
import { GzipDecoder } from './gzip-decoder.js';
import { PlainDecoder } from './plain-decoder.js';
import { ZstdDecoder } from './zstd-decoder.js';
import type { InflateEngine } from './inflate-engine.js';
import { Semaphore } from '../../util/index.js';

/** To be held while a decoder is in use outside a worker, because all decoders of a thread share their engines. */
export const decoderTurn = new Semaphore(1);

/**
 * Detects the compression of the opened blob from its first bytes and returns a decoder for it. Each thread uses one
 * decoder at a time (see `decoderTurn`). Throws UnsupportedMediaTypeError and the errors of reading.
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
