import type { ByteString } from './byte-path.js';

/** A path that shares, or may share, its inode with others; inodes of directories are left out. */
export interface LinkedPath {
  readonly lowerIno?: bigint | undefined;
  readonly upperIno?: bigint | undefined;
  /** Whether the comparison has found a difference already, whatever it is. */
  readonly changed: boolean;
}

/**
 * Of paths that are on both sides, those whose hard links changed: a path that now shares its inode with a path it did not
 * share it with before, or no longer shares it with one that is there still and otherwise unchanged. So a name that is
 * removed, or replaced by a file of its own, says nothing of the names that stay.
 * `paths` must hold all paths of every inode in it.
 */
export function changedLinks(paths: ReadonlyMap<ByteString, LinkedPath>): Set<ByteString> {
  const upperGroups = new Map<bigint, Tally>();
  const lowerGroups = new Map<bigint, Tally>();
  for (const { lowerIno, upperIno, changed } of paths.values()) {
    if (upperIno === undefined) continue;
    count(upperGroups, upperIno, lowerIno);
    if (lowerIno !== undefined && !changed) count(lowerGroups, lowerIno, upperIno);
  }
  const found = new Set<ByteString>();
  for (const [path, { lowerIno, upperIno }] of paths) {
    if (lowerIno === undefined || upperIno === undefined) continue;
    const joined = others(upperGroups.get(upperIno), lowerIno) > 0;
    if (joined || others(lowerGroups.get(lowerIno), upperIno) > 0) found.add(path);
  }
  return found;
}

/** How many paths of a group are of which inode on the other side. */
interface Tally {
  total: number;
  readonly byInode: Map<bigint | undefined, number>;
}

function count(groups: Map<bigint, Tally>, ino: bigint, other: bigint | undefined): void {
  let tally = groups.get(ino);
  if (tally === undefined) groups.set(ino, (tally = { total: 0, byInode: new Map() }));
  tally.total++;
  tally.byInode.set(other, (tally.byInode.get(other) ?? 0) + 1);
}

function others(tally: Tally | undefined, ino: bigint): number {
  return tally === undefined ? 0 : tally.total - (tally.byInode.get(ino) ?? 0);
}
