import type { ByteString } from './byte-path.js';

/** A path that shares, or may share, its inode with others. Directories are excluded. */
export interface LinkedPath {
  readonly lowerIno?: bigint | undefined;
  readonly upperIno?: bigint | undefined;
  /** True when the comparison has already found a difference. */
  readonly changed: boolean;
}

/**
 * Of the paths that exist on both sides, those whose hard links changed: a path that now shares its inode with a path
 * it did not share it with before, or no longer shares it with one that still exists and is otherwise unchanged.
 * Removing a name, or replacing it with a separate file, therefore does not affect the remaining names. `paths` must
 * contain all paths of every inode in it.
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

/** How many paths of a group belong to each inode of the other side. */
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
