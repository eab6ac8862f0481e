import { isErrno, statAt, type FileStat } from '../sys/index.js';

/** Whether two names are links to one inode; false when one of them is missing. Links are not followed. */
export function hasSameInode(dirA: number, nameA: Uint8Array, dirB: number, nameB: Uint8Array): boolean {
  try {
    return inodeKey(statAt(dirA, nameA)) === inodeKey(statAt(dirB, nameB));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Tells one inode from all others while it exists. */
export function inodeKey(stat: FileStat): string {
  return `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
}
