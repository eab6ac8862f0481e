import { lastErrno, syscallError } from './errno.js';
import { settle } from './ioctl.js';
import * as libc from './libc.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Tries to take flock(2) on `fd` without waiting; false when another open file holds it. Freed by close or death. */
export function tryFlock(fd: number, mode: 'shared' | 'exclusive'): boolean {
  if (libc.flock(fd, (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
  const errno = lastErrno();
  if (errno === 'EAGAIN' || errno === 'EINTR') return false;
  throw syscallError('flock', undefined, errno);
}

/** Gives the lock back before the descriptor is closed. */
export function unlockFlock(fd: number): void {
  libc.flock(fd, LOCK_UN);
}

/** Writes everything of the file system that `fd` lies on to disk; takes as long as the disk needs. */
export function syncFilesystem(fd: number): void {
  if (libc.syncfs(fd) < 0) throw syscallError('syncfs');
}

/** The same on a thread of the pool, so that the caller's thread goes on. */
export function syncFilesystemAsync(fd: number): Promise<void> {
  return settle('syncfs', (done) => libc.syncfs.async(fd, done));
}
