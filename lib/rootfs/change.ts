import type { EntryType } from './entry-type.js';

/** Added, changed or deleted. */
export type ChangeKind = 'A' | 'C' | 'D';

/**
 * What differs at a path that is on both sides. `content`: the bytes of a file, the numbers of a device. `link`: the
 * target of a symbolic link, or with which other paths a file shares its inode. `type`: something of another type is
 * there now; it comes alone.
 */
export type ChangedAspect = 'content' | 'mode' | 'owner' | 'mtime' | 'xattr' | 'link' | 'type';

/**
 * One difference between two trees. `D` names only the top of a deleted tree, `A` every added path, also inside an added
 * directory. Where the type changed there is a `C`, and an `A` for each path that is now inside. A directory is `C` when its
 * own mode, owner, mtime or attributes differ. Inode numbers, atime, ctime and the size of directories are no differences.
 */
export interface Change {
  readonly kind: ChangeKind;
  /** Absolute inside the root, bytes; the root itself is `/`. */
  readonly path: Buffer;
  /** What is there now; for `D` what was there. */
  readonly type: EntryType;
  /** In the order of `ChangedAspect`; empty for `A` and `D`. */
  readonly changed: readonly ChangedAspect[];
  /** Bytes of a regular file that is there now. */
  readonly size?: number;
  /** Bytes of a regular file that was there. */
  readonly oldSize?: number;
}

/** Sorts by path, bytewise. */
export function compareChanges(a: Change, b: Change): number {
  return Buffer.compare(a.path, b.path);
}
