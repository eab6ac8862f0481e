import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../util/index.js';

/** Lifetime of an unused index in ms. */
const KEPT_MS = 30 * 24 * 3600 * 1000;
/** Age in ms before which a file may still be in progress. */
const BEGUN_MS = 24 * 3600 * 1000;

/** Layer indexes cached by the user's earlier builds. An unwritable directory only costs time. */
export class IndexFiles {
  readonly #directory: string | undefined;

  /** `cacheDirectory`: owned by the user; undefined disables the cache. */
  constructor(cacheDirectory: string | undefined) {
    this.#directory = cacheDirectory && join(cacheDirectory, 'layers');
  }

  /** Opens an index if the user owns it and no other user can write it. The caller closes it. */
  open(key: string): number | undefined {
    if (this.#directory === undefined) return undefined;
    let fd: number;
    try {
      fd = openSync(join(this.#directory, key), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    const stats = fstatSync(fd);
    if (stats.isFile() && stats.uid === process.geteuid!() && (stats.mode & 0o022) === 0) {
      try {
        const now = new Date();
        futimesSync(fd, now, now);
      } catch {
        // A read-only file system does not allow removing it either.
      }
      return fd;
    }
    closeSync(fd);
    return undefined;
  }

  /** Copies the file `index` into the cache and removes unused indexes. */
  keep(key: string, index: number): void {
    if (this.#directory === undefined) return;
    const temporary = join(this.#directory, `.new-${process.pid}-${randomBytes(6).toString('hex')}`);
    try {
      makeDirectory(this.#directory);
      copyFileSync(`/proc/self/fd/${index}`, temporary, constants.COPYFILE_EXCL);
      syncFile(temporary);
      renameSync(temporary, join(this.#directory, key));
      removeOld(this.#directory);
    } catch {
      // The disk may be full or read-only.
      rmSync(temporary, { force: true });
    }
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Removes unused indexes and leftovers of killed processes. */
function removeOld(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
    if (age > (name.startsWith('.new-') ? BEGUN_MS : KEPT_MS)) rmSync(path, { force: true });
  }
}
