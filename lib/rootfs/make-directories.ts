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

/** What directories that are made look like. */
export interface DirectoryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

/**
 * Makes the directory `path` inside `root`, and what is missing above it; links on the way are followed inside. What is there
 * stays as it is, its times included. Throws UsageError where something else is in the way, SyscallError.
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
    // Neither the umask nor the change of the owner counts.
    chmodFd(fd, mode);
  } finally {
    closeSync(fd);
  }
  setTimesAt(dir, name, mtimeNs);
  // A directory that got one more entry counts as unchanged.
  setTimesAt(dir, '.', before);
}
