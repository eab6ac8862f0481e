import { DiskSpaceError, isDiskFull, systemErrorName, UsageError } from '../errors.js';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'a part of its path is not a directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  EROFS: 'the file system is read-only',
  ELOOP: 'too many symbolic links',
};

const FULL: Readonly<Record<string, string>> = {
  ENOSPC: 'its disk is full',
  EDQUOT: 'the disk quota is reached',
};

/** The error for a file that was named by the user and cannot be opened. `cause`: node's error; `hint`: in place of the usual one. */
export function fileError(
  name: string,
  action: 'read' | 'written',
  cause: unknown,
  hint?: string,
): UsageError | DiskSpaceError {
  if (isDiskFull(cause)) {
    return new DiskSpaceError(`${name} cannot be ${action}: ${FULL[systemErrorName(cause)!]}`, {
      cause,
      hint: hint ?? 'free some space there, or choose another location',
    });
  }
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
  const usual = isMissing ? `check the path${action === 'written' ? '; its directory must exist' : ''}` : undefined;
  return new UsageError(`${name} cannot be ${action}: ${REASONS[code] ?? message}`, { cause, hint: hint ?? usual });
}
