import { closeSync } from 'node:fs';
import { rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DigestMismatchError } from '../errors.js';
import { isErrno } from '../sys/index.js';
import { digestAlgorithm, digestOf, parseDigest, type Digest } from '../spec/index.js';
import { destroyOnAbort } from '../util/index.js';
import { beginIngest } from './begin-ingest.js';
import { blobIsIntact, listBlobs, openBlob, readBlob, statBlob } from './blobs.js';
import { diskError } from './disk-error.js';
import { HashingFile } from './hashing-file.js';
import { listLeftovers, type Leftover } from './leftovers.js';
import { beginPart, finishedPart, forgetPart } from './part.js';
import { blobPath, INGEST } from './paths.js';
import { publish } from './publish.js';
import { createTemporaryFile, sweepTemporaryFiles } from './temporary-file.js';
import type { ContentStore } from './types.js';

const DEFAULT_READ_BYTES = 16 * 1024 * 1024;

/** Housekeeping functions beyond the content store's contract. */
export interface ContentMaintenance {
  /** Unfinished writes, abandoned or in progress. */
  leftovers(): AsyncIterable<Leftover>;
  /** Removes one that no process is writing; the caller ensures that none starts. Throws StoreError, SyscallError. */
  removeLeftover(leftover: Leftover): Promise<void>;
}

/** Creates the content store in the existing directory `root`. Subdirectories are created when needed. */
export function createContentStore({ root }: { readonly root: string }): ContentStore & ContentMaintenance {
  return {
    stat: (digest) => statBlob(root, digest),
    path: (digest) => blobPath(root, digest),
    open: (digest, options = {}) => openBlob(root, digest, options),
    read: (digest, { maxBytes = DEFAULT_READ_BYTES } = {}) => readBlob(root, digest, maxBytes),
    put: (bytes, expected) => put(root, bytes, expected),
    beginIngest: (descriptor, options) => beginIngest(root, descriptor, options),
    ingestStream: (source, options) => ingestStream(root, source, options),
    beginPart: (key, { signal }) => beginPart(root, key, signal),
    finishedPart: (key) => finishedPart(root, key),
    forgetPart: (key) => forgetPart(root, key),
    delete: (digest) => remove(root, digest),
    list: () => listBlobs(root),
    sweep: () => sweepTemporaryFiles(root),
    leftovers: () => listLeftovers(root),
    removeLeftover: ({ path }) =>
      rm(path, { recursive: true, force: true }).catch((error: unknown) => {
        throw diskError(error, path);
      }),
  };
}

async function put(root: string, bytes: Uint8Array, expected: Digest | undefined): Promise<Digest> {
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(parseDigest(expected)));
  checkExpected(expected, digest);
  if ((await statBlob(root, digest))?.size === bytes.length && (await blobIsIntact(root, digest))) return digest;
  await ingestStream(root, Readable.from([bytes], { objectMode: true }), { expected: digest });
  return digest;
}

async function ingestStream(
  root: string,
  source: Readable,
  options: { readonly signal?: AbortSignal; readonly expected?: Digest },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const { signal, expected } = options;
  let temporary: { readonly fd: number; readonly path: string } | undefined;
  try {
    const algorithm = expected === undefined ? 'sha256' : digestAlgorithm(parseDigest(expected));
    signal?.throwIfAborted();
    temporary = createTemporaryFile(root);
    const file = new HashingFile(temporary, algorithm);
    if (signal !== undefined) destroyOnAbort(signal, source);
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      await file.write(chunk);
    }
    await file.flush();
    const digest = file.digest();
    checkExpected(expected, digest);
    await publish(root, temporary, { digest, size: file.length });
    return { digest, size: file.length };
  } catch (error) {
    if (temporary !== undefined) await rm(temporary.path, { force: true });
    signal?.throwIfAborted();
    throw diskError(error, temporary?.path ?? join(root, INGEST));
  } finally {
    source.destroy();
    if (temporary !== undefined) closeSync(temporary.fd);
  }
}

async function remove(root: string, digest: Digest): Promise<void> {
  const path = blobPath(root, digest);
  await unlink(path).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw diskError(error, path);
  });
}

function checkExpected(expected: Digest | undefined, actual: Digest): void {
  if (expected === undefined || expected === actual) return;
  throw new DigestMismatchError(`the bytes have digest ${actual}, not ${expected}`, { expected, actual });
}
