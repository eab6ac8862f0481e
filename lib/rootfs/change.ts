import type { EntryType } from './entry-type.js';

export type ChangeKind = 'A' | 'C' | 'D';

/**
 * What differs at a path that exists on both sides. `content`: the bytes of a file or the numbers of a device. `link`:
 * the target of a symbolic link, or the other paths with which a file shares its inode. `type`: the file type changed;
 * no other aspect is listed then.
 */
export type ChangedAspect = 'content' | 'mode' | 'owner' | 'mtime' | 'xattr' | 'link' | 'type';

/**
 * One difference between two trees. A deleted directory is one `D`; an added directory has an `A` for itself and for
 * every path below. Where the type changed there is a `C`, and an `A` for each path that is now below. A directory is
 * `C` when its own mode, owner, mtime or attributes differ. Inode numbers, atime, ctime and the size of directories are
 * ignored.
 */
export interface Change {
  readonly kind: ChangeKind;
  /** Absolute path inside the root, as bytes; `/` for the root itself. */
  readonly path: Buffer;
  /** The current type; for `D` the former one. */
  readonly type: EntryType;
  /** In the order of `ChangedAspect`; empty for `A` and `D`. */
  readonly changed: readonly ChangedAspect[];
  /** Current size of a regular file. Bytes. */
  readonly size?: number;
  /** Former size of a regular file. Bytes. */
  readonly oldSize?: number;
}

/** Sorts by path, bytewise. */
export function compareChanges(a: Change, b: Change): number {
  return Buffer.compare(a.path, b.path);
}
