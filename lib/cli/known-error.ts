import {
  ContainerStartError,
  DiskSpaceError,
  findCause,
  ImgtoolError,
  isDiskFull,
  PartialError,
  SyscallError,
  systemErrorName,
} from '../errors.js';

/** Hints for disk errors that no program can fix. */
const DISK_HINTS: ReadonlyMap<string, { readonly meaning: string; readonly hint: string }> = new Map([
  ['EROFS', { meaning: 'read-only file system', hint: 'mount it writable, or choose another place' }],
  ['EFBIG', { meaning: 'file too large', hint: 'raise the limit (ulimit -f), or use a file system for larger files' }],
  [
    'EIO',
    {
      meaning: 'input/output error',
      hint: 'the disk below cannot read or write: see dmesg, and whether the disk that carries it is full',
    },
  ],
  ['EUCLEAN', { meaning: 'the file system is damaged', hint: 'see dmesg; unmount it and check it (btrfs check)' }],
]);

/** Adds a meaning and a hint to disk errors that node or a thread raised. Returns other errors unchanged. */
export function asKnownError(error: unknown): unknown {
  const full = findCause(error, isDiskFull);
  if (full !== undefined) return asDiskFull(error, full);
  const found = findCause(error, (cause) => DISK_HINTS.has(systemErrorName(cause) ?? ''));
  if (found === undefined || (error instanceof ImgtoolError && error !== found)) return error;
  if (error instanceof ImgtoolError && error.hint !== undefined) return error;
  const errno = systemErrorName(found)!;
  const { meaning, hint } = DISK_HINTS.get(errno)!;
  const { syscall = 'a system call', path } = found as NodeJS.ErrnoException;
  const message = found instanceof SyscallError ? found.message : `${syscall}${at(path)} failed: ${meaning} (${errno})`;
  return new SyscallError(message, { errno, syscall, path, cause: error, hint });
}

/** `full` is `error` or one of its causes. A message that imgtool wrote is kept. */
function asDiskFull(error: unknown, full: Error): unknown {
  const { path } = full as NodeJS.ErrnoException;
  const isQuota = systemErrorName(full) === 'EDQUOT';
  const hint = isQuota
    ? 'remove something, or raise the quota (btrfs qgroup show, quota)'
    : `free space there${path === undefined ? '' : ` (df ${path})`}; for the store: imgtool store gc, imgtool rmi`;
  if (error instanceof ImgtoolError && error !== full) {
    const keeps = error.hint !== undefined || error instanceof PartialError || error instanceof ContainerStartError;
    return keeps ? error : new DiskSpaceError(error.message, { cause: error, hint });
  }
  const what = isQuota ? 'the disk quota is reached' : 'no space is left on the disk';
  const message = path === undefined ? what : `${what}: cannot write${at(path)}`;
  return new DiskSpaceError(message, { cause: full, hint });
}

function at(path: string | undefined): string {
  return path === undefined ? '' : ` ${path}`;
}
