import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { fdPath } from '../sys/index.js';
import type { CopyInput } from './copy-path.js';
import type { DirectoryAttributes } from './make-directories.js';
import { locate, namesEntries, notFoundError, openEntry, type CopyPlace, type Opened } from './copy-place.js';
import type { CopyTotals } from './copy-tree.js';
import { entryType } from './entry-type.js';

/** A path found inside a root, held open. */
interface LocatedPath {
  /** A path through which its parent directory can be opened, until `close`. */
  readonly parent: string;
  /** Its name in `parent`. Empty when the path means the entries of a directory (`a/.`, `/`); `parent` is then that directory. */
  readonly name: Buffer;
  /** Like `parent`, for the path itself if it is a directory. */
  readonly directory: string | undefined;
  close(): void;
}

/** Safe access inside root directories, as injected into operations. */
export interface RootfsAccess {
  /** See `copyPath`. */
  copyPath(input: CopyInput): Promise<CopyTotals>;
  /** See `locatePath`. */
  locatePath(place: CopyPlace, options: { readonly followLink: boolean }): Promise<LocatedPath>;
  /** See `realPathInRoot`. */
  realPath(root: string, path: string): Promise<string>;
  /** See `makeDirectories`. */
  makeDirectories(root: string, path: string, attributes: DirectoryAttributes): Promise<void>;
}

/**
 * Finds a path inside its root. Follows a link that is the last component only with `followLink`. Throws NotFoundError,
 * UsageError, SyscallError.
 */
export function locatePath(place: CopyPlace, { followLink }: { readonly followLink: boolean }): LocatedPath {
  const opened: Opened = [];
  const close = (): void => opened.splice(0).forEach((fd) => closeSync(fd));
  try {
    const entriesOnly = namesEntries(place.path);
    const follow = followLink || entriesOnly || place.path.endsWith('/');
    const found = locate(place, { keepLastLink: !follow }, opened);
    if (found.stat === undefined) throw notFoundError(place.path);
    if (entryType(found.stat.mode) !== 'directory') {
      return { parent: pathOf(found.dir), name: found.name, directory: undefined, close };
    }
    const directory = pathOf(openEntry(found, opened));
    return entriesOnly || found.name.length === 0
      ? { parent: directory, name: Buffer.alloc(0), directory, close }
      : { parent: pathOf(found.dir), name: found.name, directory, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Ends in `.`, so that opening it without following links opens the directory. */
function pathOf(fd: number): string {
  return `${fdPath(fd).toString()}/.`;
}

/**
 * Resolves `path` inside `root`, including links, to a path of this machine. The result is valid while no other process
 * changes its parent directories. Throws NotFoundError, UsageError, SyscallError.
 */
export function realPathInRoot(root: string, path: string): string {
  const opened: Opened = [];
  try {
    const found = locate({ root, path }, {}, opened);
    if (found.stat === undefined) throw notFoundError(path);
    return join(root, found.path.toString());
  } finally {
    opened.forEach((fd) => closeSync(fd));
  }
}
