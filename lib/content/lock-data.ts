import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, tryFlock } from '../sys/index.js';
import { makeDirectory } from '../util/index.js';
import { diskError } from './disk-error.js';
import type { LockedFile } from './ingest.js';
import { DATA } from './paths.js';

/**
 * Opens and locks the data file of a download; creates it with its directory if missing. Returns `locked` when another
 * process holds it, `gone` when its owner has just finished with it. The caller closes it. Throws StoreError,
 * DiskSpaceError.
 */
export async function lockData(directory: string): Promise<LockedFile | 'locked' | 'gone'> {
  const path = join(directory, DATA);
  let fd: number;
  try {
    makeDirectory(directory);
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'gone';
    throw diskError(error, path);
  }
  try {
    if (!tryFlock(fd, 'exclusive')) {
      closeSync(fd);
      return 'locked';
    }
    // While this process waited for the lock, the owner may have published or removed the file.
    const named = await stat(path).catch(() => undefined);
    if (named?.ino === fstatSync(fd).ino) return { fd, path };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return 'gone';
}
