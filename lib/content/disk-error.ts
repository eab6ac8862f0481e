import { DiskSpaceError, ImgtoolError } from '../errors.js';
import { isErrno, syscallError } from '../sys/index.js';

/** The error for a file operation of node that failed on `path`; what is no system error passes as it is. */
export function diskError(error: unknown, path: string): Error {
  if (error instanceof ImgtoolError) return error;
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new DiskSpaceError(`no room left to write ${path}`, {
      cause: error,
      hint: 'free space, see what the store holds with: imgtool store df',
    });
  }
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code !== undefined && syscall !== undefined ? syscallError(syscall, path, code) : (error as Error);
}
