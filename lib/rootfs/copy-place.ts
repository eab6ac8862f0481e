import { resolve } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import { AT_FDCWD, isErrno, openAt, OPEN_DIRECTORY } from '../sys/index.js';
import type { TreeEntry } from './open-regular.js';
import { resolveInRoot, type ResolvedPath, type ResolveOptions } from './resolve-in-root.js';

/** A path inside a root, or one of this machine. */
export interface CopyPlace {
  /** Absolute path of the directory that nothing leads out of; undefined: this machine's own root and working directory. */
  readonly root: string | undefined;
  readonly path: string;
}

/** Descriptors that whoever began has to close in the end. */
export type Opened = number[];

/** Finds a place; what it opens is added to `opened`. Throws NotFoundError (no way there), UsageError, SyscallError. */
export function locate({ root, path }: CopyPlace, options: ResolveOptions, opened: Opened): ResolvedPath {
  const rootFd = openRoot(root ?? '/', opened);
  try {
    const found = resolveInRoot(rootFd, Buffer.from(root === undefined ? resolve(path) : path), options);
    opened.push(found.dir);
    return found;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw notFoundError(path, error);
    if (isErrno(error, 'ENOTDIR', 'ELOOP')) throw new UsageError((error as Error).message, { cause: error });
    throw error;
  }
}

/** Opens a root directory; added to `opened`. Throws SyscallError. */
export function openRoot(root: string, opened: Opened): number {
  const fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  opened.push(fd);
  return fd;
}

/** Opens a directory that was found; added to `opened`. Throws SyscallError. */
export function openEntry({ dir, name }: TreeEntry, opened: Opened): number {
  const fd = openAt(dir, name.length === 0 ? '.' : name, OPEN_DIRECTORY);
  opened.push(fd);
  return fd;
}

/** Whether a path names what is in a directory rather than the directory: `.`, `a/.`, `..`, `/` or nothing. */
export function namesEntries(path: string): boolean {
  return /^\/*$|(^|\/)\.{1,2}\/?$/.test(path);
}

/** The error for a path with nothing there. */
export function notFoundError(path: string, cause?: unknown): NotFoundError {
  return new NotFoundError(`${path} does not exist`, { kind: 'file', subject: path, cause });
}

/** The error for a path that has to be a directory. */
export function notADirectoryError(path: string): UsageError {
  return new UsageError(`${path} is not a directory`);
}
