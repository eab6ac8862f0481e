import { closeSync } from 'node:fs';
import { UsageError } from '../errors.js';
import {
  AT_FDCWD,
  chmodFd,
  chownAt,
  isErrno,
  mkdirAt,
  openAt,
  OPEN_DIRECTORY,
  setTimesAt,
  statAt,
} from '../sys/index.js';
import { entryType } from './entry-type.js';
import { resolveInRoot } from './resolve-in-root.js';

/** The attributes of new directories. */
export interface DirectoryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

/**
 * Creates the directory `path` and its missing parents inside `root`; links resolve inside it. Existing directories
 * stay unchanged, including their times. Throws UsageError when a file is in the way, SyscallError.
 */
export function makeDirectories(root: string, path: string, attributes: DirectoryAttributes): void {
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const make = ({ dir, name }: { readonly dir: number; readonly name: Buffer }): void =>
      makeOne(dir, name, attributes);
    const found = resolveInRoot(rootFd, Buffer.from(path), { makeDirectory: make });
    try {
      if (found.stat === undefined) make(found);
      else if (entryType(found.stat.mode) !== 'directory') throw new UsageError(`${path} is not a directory`);
    } finally {
      closeSync(found.dir);
    }
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP')) throw new UsageError((error as Error).message, { cause: error });
    throw error;
  } finally {
    closeSync(rootFd);
  }
}

function makeOne(dir: number, name: Buffer, { mode, uid, gid, mtimeNs }: DirectoryAttributes): void {
  const { mtimeNs: before } = statAt(dir, '');
  mkdirAt(dir, name, mode);
  chownAt(dir, name, uid, gid);
  const fd = openAt(dir, name, OPEN_DIRECTORY);
  try {
    // Overrides the effects of the umask and of changing the owner.
    chmodFd(fd, mode);
  } finally {
    closeSync(fd);
  }
  setTimesAt(dir, name, mtimeNs);
  // A directory counts as unchanged when it only got one more entry.
  setTimesAt(dir, '.', before);
}
