import { DiskSpaceError, ImgtoolError } from '../errors.js';
import { isErrno, syscallError } from '../sys/index.js';

/** Converts node's system error for `path`; other errors are returned unchanged. */
export function diskError(error: unknown, path: string): Error {
  if (error instanceof ImgtoolError) return error;
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new DiskSpaceError(`no space left to write ${path}`, {
      cause: error,
      hint: 'free some space; see what the store uses with: imgtool store df',
    });
  }
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code !== undefined && syscall !== undefined ? syscallError(syscall, path, code) : (error as Error);
}
