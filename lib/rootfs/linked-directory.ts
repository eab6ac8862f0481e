import { closeSync } from 'node:fs';
import { UsageError } from '../errors.js';
import { displayPath, isErrno, openAt, OPEN_DIRECTORY, statAtIfThere } from '../sys/index.js';
import { fromByteString, toByteString, type ByteString } from './byte-path.js';
import { entryType } from './entry-type.js';
import { resolveInRoot, type ResolvedPath } from './resolve-in-root.js';

/** A directory, as its link-free path from an open root. */
export interface PlaceInRoot {
  readonly root: number;
  /** Without leading and trailing slash; empty: the root. */
  readonly path: ByteString;
}

/** The open target directory of a link. */
export interface LinkedDirectory {
  readonly fd: number;
  readonly place: PlaceInRoot;
}

/**
 * Opens the target of the link `name` in `dir`, resolved inside the root; `place` is the location of the link.
 * Undefined when it is not a link or does not lead to a directory. The caller closes it. Throws SyscallError.
 */
export function openLinkedDirectory(dir: number, name: Uint8Array, place: PlaceInRoot): LinkedDirectory | undefined {
  const link = statAtIfThere(dir, name);
  if (link === undefined || entryType(link.mode) !== 'symlink') return undefined;
  const found = resolve(place);
  if (found === undefined) return undefined;
  try {
    if (found.stat === undefined || entryType(found.stat.mode) !== 'directory') return undefined;
    const fd = openAt(found.dir, found.name.length === 0 ? '.' : found.name, OPEN_DIRECTORY);
    return { fd, place: { root: place.root, path: toByteString(found.path) } };
  } finally {
    closeSync(found.dir);
  }
}

/** The error for too many links in sequence. */
export function tooManyLinksError(path: ByteString): UsageError {
  return new UsageError(`${displayPath(fromByteString(path))}: too many symbolic links`, {
    hint: 'choose another destination',
  });
}

function resolve({ root, path }: PlaceInRoot): ResolvedPath | undefined {
  try {
    return resolveInRoot(root, fromByteString(path));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}
