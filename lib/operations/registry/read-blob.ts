import { DigestMismatchError, SizeMismatchError } from '../../errors.js';
import type { BlobSource } from '../../registry/index.js';
import { digestAlgorithm, digestOf, type ReopenableBlob } from '../../spec/index.js';

/** Reads a small blob (a config) into memory and verifies it. Throws SizeMismatchError, DigestMismatchError. */
export async function readBlob(
  source: BlobSource,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  const { digest, size } = source.descriptor;
  const limit = Math.min(size, maxBytes);
  if (size > maxBytes) throw sizeError(`blob ${digest} is larger than ${maxBytes} bytes`, maxBytes, size);
  const { body } = await source.open({ signal });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > limit)
      throw sizeError(`blob ${digest} has more bytes than the ${size} its manifest says`, size, length);
  }
  if (length !== size) throw sizeError(`blob ${digest} has ${length} bytes, its manifest says ${size}`, size, length);
  const bytes = Buffer.concat(chunks);
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual !== digest) {
    throw new DigestMismatchError(`blob ${digest} has digest ${actual}`, { expected: digest, actual });
  }
  return bytes;
}

/** Like `readBlob`, for a blob of any source. */
export function readSourceBlob(
  { descriptor, open }: Pick<ReopenableBlob, 'descriptor' | 'open'>,
  options: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  const start = async ({ signal }: { readonly signal: AbortSignal }): ReturnType<BlobSource['open']> => ({
    body: await open({ signal, offset: 0 }),
    restarted: false,
  });
  return readBlob({ descriptor, open: start }, options);
}

function sizeError(message: string, expected: number, actual: number): SizeMismatchError {
  return new SizeMismatchError(message, { expected, actual });
}
