import { DiskSpaceError, LayerFormatError, PathEscapeError, SyscallError } from '../../errors.js';
import type { PathProblem } from '../../rootfs/index.js';
import { displayPath, isErrno, lastErrno, syscallError } from '../../sys/index.js';

/** The error for a call that just failed on the entry `path`; read before anything else is called. */
export function unpackError(syscall: string, path: Uint8Array, errno: string = lastErrno()): Error {
  return asUnpackError(syscallError(syscall, path, errno), path) as Error;
}

/** What a failed call means for a layer: no room, a path the layer made impossible, or the call's own error. */
export function asUnpackError(error: unknown, path: Uint8Array): unknown {
  if (!(error instanceof SyscallError)) return error;
  const entry = displayPath(path);
  if (isErrno(error, 'ENOSPC', 'EDQUOT'))
    return new DiskSpaceError(`no room to unpack ${entry}`, {
      cause: error,
      hint: 'imgtool store gc frees what no image uses',
    });
  if (isErrno(error, 'ENAMETOOLONG', 'ENOTDIR', 'ELOOP', 'EISDIR', 'EFBIG'))
    return new LayerFormatError(`the layer has an entry that cannot be: ${error.message}`, { entry, cause: error });
  return error;
}

/** The error for an entry or link target whose path is refused. */
export function pathError(problem: PathProblem, path: Uint8Array, what: string): Error {
  const entry = displayPath(path.subarray(0, 300));
  if (problem === 'escapes')
    return new PathEscapeError(`the layer has ${what} that leads outside the root: ${entry}`, { entry });
  const reason = problem === 'nul' ? 'with a NUL byte' : `that is ${problem}`;
  return new LayerFormatError(`the layer has ${what} ${reason}: ${entry}`, { entry });
}
