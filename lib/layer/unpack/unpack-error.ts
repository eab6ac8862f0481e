import { DiskSpaceError, LayerFormatError, PathEscapeError, SyscallError } from '../../errors.js';
import type { PathProblem } from '../../rootfs/index.js';
import { displayPath, isErrno, lastErrno, syscallError } from '../../sys/index.js';

/** The error for a system call that just failed on the entry `path`. Must be called before any other system call. */
export function unpackError(syscall: string, path: Uint8Array, errno: string = lastErrno()): Error {
  return asUnpackError(syscallError(syscall, path, errno), path) as Error;
}

/** Converts an error of a system call: no space left, an impossible path in the layer, or the call's own error. */
export function asUnpackError(error: unknown, path: Uint8Array): unknown {
  if (!(error instanceof SyscallError)) return error;
  const entry = displayPath(path);
  if (isErrno(error, 'ENOSPC', 'EDQUOT'))
    return new DiskSpaceError(`no space left to unpack ${entry}`, {
      cause: error,
      hint: 'free unused space with: imgtool store gc',
    });
  if (isErrno(error, 'ENAMETOOLONG', 'ENOTDIR', 'ELOOP', 'EISDIR', 'EFBIG'))
    return new LayerFormatError(`the layer has an impossible entry: ${error.message}`, { entry, cause: error });
  return error;
}

/** The error for an entry or link target with an invalid path. */
export function pathError(problem: PathProblem, path: Uint8Array, what: string): Error {
  const entry = displayPath(path.subarray(0, 300));
  if (problem === 'escapes')
    return new PathEscapeError(`the layer has ${what} that leads outside the root: ${entry}`, { entry });
  const reason = problem === 'nul' ? 'with a NUL byte' : `that is ${problem}`;
  return new LayerFormatError(`the layer has ${what} ${reason}: ${entry}`, { entry });
}
