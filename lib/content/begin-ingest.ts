import { closeSync, fstatSync } from 'node:fs';
import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SizeMismatchError } from '../errors.js';
import { isErrno } from '../sys/index.js';
import type { Descriptor } from '../spec/index.js';
import { delay } from '../util/index.js';
import { blobIsIntact, statBlob } from './blobs.js';
import { diskError } from './disk-error.js';
import { FileIngest, removeIngestDirectory, type LockedFile } from './ingest.js';
import { lockData } from './lock-data.js';
import { blobPath, ingestDirectory, STATE } from './paths.js';

const POLL_MS = { first: 20, most: 250 } as const;

/** Begins or resumes a download; see `ContentStore.beginIngest`. */
export async function beginIngest(
  root: string,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal; readonly onWait?: () => void },
): Promise<FileIngest | undefined> {
  const { signal, onWait } = options;
  let pollMs: number = POLL_MS.first;
  let waiting = false;
  for (;;) {
    signal.throwIfAborted();
    if (await isPresent(root, descriptor)) return undefined;
    const file = await lockData(ingestDirectory(root, descriptor.digest));
    if (file === 'gone') continue;
    if (file === 'locked') {
      if (!waiting) onWait?.();
      waiting = true;
      await delay(pollMs, signal);
      pollMs = Math.min(POLL_MS.most, pollMs * 2);
      continue;
    }
    try {
      // Published between the first check and the lock.
      if (await isPresent(root, descriptor)) {
        await unlink(file.path);
        await removeIngestDirectory(ingestDirectory(root, descriptor.digest));
        closeSync(file.fd);
        return undefined;
      }
      return await resume(root, descriptor, file, signal);
    } catch (error) {
      closeSync(file.fd);
      throw diskError(error, file.path);
    }
  }
}

async function resume(
  root: string,
  descriptor: Descriptor,
  file: LockedFile,
  signal: AbortSignal,
): Promise<FileIngest> {
  const { digest, size, mediaType } = descriptor;
  const held = fstatSync(file.fd).size;
  const state = { digest, size, mediaType, begun: new Date().toISOString() };
  await writeFile(join(ingestDirectory(root, digest), STATE), JSON.stringify(state), { mode: 0o600 });
  const ingest = new FileIngest(root, descriptor, file);
  // A file larger than the blob is not its beginning.
  if (held <= size) await ingest.resume(held, signal);
  return ingest;
}

/** Reports whether the complete blob exists. Removes a damaged one. Throws SizeMismatchError when the descriptor is wrong. */
async function isPresent(root: string, { digest, size }: Descriptor): Promise<boolean> {
  const present = await statBlob(root, digest);
  if (present === undefined) return false;
  if (present.size === size) return true;
  if (await blobIsIntact(root, digest)) {
    throw new SizeMismatchError(`blob ${digest} has ${present.size} bytes, not the ${size} stated by its manifest`, {
      expected: size,
      actual: present.size,
    });
  }
  await unlink(blobPath(root, digest)).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
  return false;
}
