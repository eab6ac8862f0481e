import { resolve } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import { AT_FDCWD, isErrno, openAt, OPEN_DIRECTORY } from '../sys/index.js';
import type { TreeEntry } from './open-regular.js';
import { resolveInRoot, type ResolvedPath, type ResolveOptions } from './resolve-in-root.js';

/** A path inside a root, or a path of this machine. */
export interface CopyPlace {
  /** Absolute path of the root directory, which no link can leave; undefined: this machine's root and working directory. */
  readonly root: string | undefined;
  readonly path: string;
}

/** Descriptors that the initiator of the copy closes at the end. */
export type Opened = number[];

/** Resolves a place and adds the descriptors it opens to `opened`. Throws NotFoundError, UsageError, SyscallError. */
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

/** Opens a root directory and adds it to `opened`. Throws SyscallError. */
export function openRoot(root: string, opened: Opened): number {
  const fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  opened.push(fd);
  return fd;
}

/** Opens a directory that was found and adds it to `opened`. Throws SyscallError. */
export function openEntry({ dir, name }: TreeEntry, opened: Opened): number {
  const fd = openAt(dir, name.length === 0 ? '.' : name, OPEN_DIRECTORY);
  opened.push(fd);
  return fd;
}

/** True when a path means the entries of a directory rather than the directory: `.`, `a/.`, `..`, `/` or empty. */
export function namesEntries(path: string): boolean {
  return /^\/*$|(^|\/)\.{1,2}\/?$/.test(path);
}

export function notFoundError(path: string, cause?: unknown): NotFoundError {
  return new NotFoundError(`${path} does not exist`, { kind: 'file', subject: path, cause });
}

export function notADirectoryError(path: string): UsageError {
  return new UsageError(`${path} is not a directory`);
}
