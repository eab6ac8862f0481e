import { UsageError } from '../errors.js';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'a part of its path is not a directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  EROFS: 'the file system is read-only',
  ELOOP: 'its links lead in a circle',
};

/** What to say of a file that the user named and that cannot be opened; `cause` is node's error. */
export function fileError(name: string, action: 'read' | 'written', cause: unknown): UsageError {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
  return new UsageError(`${name} cannot be ${action}: ${REASONS[code] ?? message}`, {
    cause,
    ...(isMissing ? { hint: `check the path${action === 'written' ? '; its directory must be there' : ''}` } : {}),
  });
}
