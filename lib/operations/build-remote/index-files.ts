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

/** Indexes that no build has used for so long are removed, milliseconds. */
const KEPT_MS = 30 * 24 * 3600 * 1000;
/** Files that a process began are its own for so long. */
const BEGUN_MS = 24 * 3600 * 1000;

/** Indexes of layers that earlier builds of this user made. A directory that cannot be written costs time only. */
export class IndexFiles {
  readonly #directory: string | undefined;

  /** `cacheDirectory`: of this user; undefined: nothing is kept. */
  constructor(cacheDirectory: string | undefined) {
    this.#directory = cacheDirectory && join(cacheDirectory, 'layers');
  }

  /** Opens an index, if it is a file of this user that nobody else may write. The caller closes it. */
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
        // On a file system that is read-only it cannot be removed either.
      }
      return fd;
    }
    closeSync(fd);
    return undefined;
  }

  /** Keeps a copy of the file `index` for later builds, and removes what is no longer used. */
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
      // A full disk, or a directory that is read-only.
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

/** Removes indexes that are no longer used, and what processes that were killed have left. */
function removeOld(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
    if (age > (name.startsWith('.new-') ? BEGUN_MS : KEPT_MS)) rmSync(path, { force: true });
  }
}
