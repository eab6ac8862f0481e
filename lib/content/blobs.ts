import { createHash } from 'node:crypto';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DigestMismatchError, NotFoundError, SizeMismatchError } from '../errors.js';
import { isErrno } from '../sys/index.js';
import { digestAlgorithm, digestFrom, isDigest, type Digest } from '../spec/index.js';
import { recordedSize } from './blob-size.js';
import { diskError } from './disk-error.js';
import { blobPath, BLOBS } from './paths.js';

const READ_BYTES = 1024 * 1024;

/** Size of a blob in bytes, or undefined when it does not exist or a power loss has truncated it. */
export async function statBlob(root: string, digest: Digest): Promise<{ readonly size: number } | undefined> {
  const path = blobPath(root, digest);
  try {
    const found = await stat(path);
    if (!found.isFile()) return undefined;
    return (recordedSize(path) ?? found.size) === found.size ? { size: found.size } : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw diskError(error, path);
  }
}

/** Reports whether the bytes of a blob match its digest. */
export async function blobIsIntact(root: string, digest: Digest): Promise<boolean> {
  try {
    for await (const _chunk of await openBlob(root, digest, {}));
    return true;
  } catch (error) {
    if (error instanceof DigestMismatchError || error instanceof NotFoundError) return false;
    throw error;
  }
}

/** Streams a blob from `offset`. When read from 0, it is verified before the stream ends. Throws the errors of `ContentStore.open`. */
export async function openBlob(
  root: string,
  digest: Digest,
  options: { readonly offset?: number; readonly signal?: AbortSignal },
): Promise<Readable> {
  const { offset = 0, signal } = options;
  signal?.throwIfAborted();
  const handle = await openHandle(root, digest);
  const stream = Readable.from(chunks(handle, digest, offset), {
    objectMode: false,
    highWaterMark: READ_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  // Not in the generator, whose `finally` does not run if it was never started.
  stream.once('close', () => void handle.close());
  return stream;
}

/** Reads a whole blob into memory and verifies it. Throws the errors of `ContentStore.read`. */
export async function readBlob(root: string, digest: Digest, maxBytes: number): Promise<Buffer> {
  const handle = await openHandle(root, digest);
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) {
      throw new SizeMismatchError(`blob ${digest} has ${size} bytes, over the limit of ${maxBytes} for this use`, {
        expected: maxBytes,
        actual: size,
      });
    }
    const bytes = await handle.readFile();
    const algorithm = digestAlgorithm(digest);
    verify(digest, digestFrom(createHash(algorithm).update(bytes), algorithm));
    return bytes;
  } finally {
    await handle.close();
  }
}

/** Digests and sizes of all blobs. Skips files with other names. */
export async function* listBlobs(root: string): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
  for (const algorithm of await namesIn(join(root, BLOBS))) {
    for (const hex of await namesIn(join(root, BLOBS, algorithm))) {
      const digest = `${algorithm}:${hex}`;
      const found = isDigest(digest) ? await statBlob(root, digest) : undefined;
      if (found !== undefined) yield { digest: digest as Digest, size: found.size };
    }
  }
}

/** Sorted names in a directory; empty when it does not exist. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw diskError(error, directory);
  }
}

async function openHandle(root: string, digest: Digest): Promise<FileHandle> {
  const path = blobPath(root, digest);
  try {
    return await open(path, 'r');
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw diskError(error, path);
    throw new NotFoundError(`the store has no blob ${digest}`, { kind: 'blob', subject: digest });
  }
}

async function* chunks(handle: FileHandle, digest: Digest, offset: number): AsyncGenerator<Buffer> {
  const algorithm = digestAlgorithm(digest);
  const hash = offset === 0 ? createHash(algorithm) : undefined;
  for (let position = offset; ;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash?.update(chunk);
    position += bytesRead;
    yield chunk;
  }
  if (hash !== undefined) verify(digest, digestFrom(hash, algorithm));
}

function verify(expected: Digest, actual: Digest): void {
  if (actual === expected) return;
  throw new DigestMismatchError(`blob ${expected} in the store is damaged: its digest is ${actual}`, {
    expected,
    actual,
    hint: 'pull the image again, or repair the store with: imgtool store fsck',
  });
}
