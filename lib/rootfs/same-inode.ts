import { isErrno, statAt } from '../sys/index.js';

/** Whether two names are links to one inode; false when one of them is missing. Links are not followed. */
export function hasSameInode(dirA: number, nameA: Uint8Array, dirB: number, nameB: Uint8Array): boolean {
  try {
    const a = statAt(dirA, nameA);
    const b = statAt(dirB, nameB);
    return a.ino === b.ino && a.devMajor === b.devMajor && a.devMinor === b.devMinor;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
