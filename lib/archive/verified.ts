import { createHash } from 'node:crypto';
import { DigestMismatchError, SizeMismatchError } from '../errors.js';
import { digestAlgorithm, digestFrom, type ReopenableBlob, type PutBlobOptions } from '../spec/index.js';

/**
 * The bytes of a blob, read from its start. Never yields more than its descriptor states, and fails with
 * DigestMismatchError or SizeMismatchError when they do not match it.
 */
export async function* verified(blob: ReopenableBlob, { signal, onProgress }: PutBlobOptions): AsyncGenerator<Buffer> {
  const { digest, size } = blob.descriptor;
  const algorithm = digestAlgorithm(digest);
  const hash = createHash(algorithm);
  let transferred = 0;
  const source = await blob.open({ signal, offset: 0 });
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      transferred += chunk.length;
      if (transferred > size) break;
      hash.update(chunk);
      yield chunk;
      onProgress?.(transferred);
    }
  } finally {
    source.destroy();
  }
  if (transferred !== size) {
    throw new SizeMismatchError(
      `blob ${digest} has ${transferred > size ? 'more' : transferred} bytes, not the ${size} its manifest says`,
      { expected: size, actual: transferred },
    );
  }
  const actual = digestFrom(hash, algorithm);
  if (actual !== digest) {
    throw new DigestMismatchError(`blob ${digest} has digest ${actual}`, { expected: digest, actual });
  }
}
