import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { fdPath } from '../sys/index.js';
import type { CopyInput } from './copy-path.js';
import type { DirectoryAttributes } from './make-directories.js';
import { locate, namesEntries, notFoundError, openEntry, type CopyPlace, type Opened } from './copy-place.js';
import type { CopyTotals } from './copy-tree.js';
import { entryType } from './entry-type.js';

/** A path found inside a root, held open. */
export interface LocatedPath {
  /** A path by which the directory that it lies in can be opened, until `close`. */
  readonly parent: string;
  /** Its name there; empty where the path names the entries of a directory (`a/.`, `/`), which then is `parent`. */
  readonly name: Buffer;
  /** The same for itself, when it is a directory. */
  readonly directory: string | undefined;
  close(): void;
}

/** Safe access inside root directories, as operations are given it. */
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
 * Finds a path inside its root; a link as last component is followed with `followLink` only. Throws NotFoundError,
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
 * The path of this machine that `path` inside `root` leads to, links followed inside. It names the same file as long as nobody
 * else changes the directories on the way. Throws NotFoundError, UsageError, SyscallError.
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
