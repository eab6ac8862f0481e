import { rename } from 'node:fs/promises';
import { isErrno } from '../sys/index.js';
import type { Digest } from '../spec/index.js';
import { makeDirectory } from '../util/index.js';
import { recordSize } from './blob-size.js';
import { blobDirectory, blobPath } from './paths.js';

/** Gives a finished, verified file (open as `fd`, at `from`) its name as a blob. */
export async function publish(
  root: string,
  file: { readonly fd: number; readonly path: string },
  blob: { readonly digest: Digest; readonly size: number },
): Promise<void> {
  recordSize(file.fd, blob.size);
  const to = blobPath(root, blob.digest);
  try {
    await rename(file.path, to);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    makeDirectory(blobDirectory(root, blob.digest));
    await rename(file.path, to);
  }
}
