import { lastErrno, syscallError } from './errno.js';
import * as libc from './libc.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Tries to take flock(2) on `fd` without waiting. Returns false when another open file holds it. Released by closing
 * the descriptor or the death of the process.
 */
export function tryFlock(fd: number, mode: 'shared' | 'exclusive'): boolean {
  if (libc.flock(fd, (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
  const errno = lastErrno();
  if (errno === 'EAGAIN' || errno === 'EINTR') return false;
  throw syscallError('flock', undefined, errno);
}
