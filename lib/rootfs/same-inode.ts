import { isErrno, statAt, type FileStat } from '../sys/index.js';

/** True when two names are hard links to one inode; false when one of them is missing. Follows no links. */
export function hasSameInode(dirA: number, nameA: Uint8Array, dirB: number, nameB: Uint8Array): boolean {
  try {
    return inodeKey(statAt(dirA, nameA)) === inodeKey(statAt(dirB, nameB));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Identifies an inode while it exists. */
export function inodeKey(stat: FileStat): string {
  return `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
}
