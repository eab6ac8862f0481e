import koffi from 'koffi';
import { SyscallError, systemErrorName } from '../errors.js';

const NAME_OF: ReadonlyMap<number, string> = new Map(
  // EAGAIN and ENOTSUP have the same numbers as EWOULDBLOCK and EOPNOTSUPP; prefers the usual names.
  Object.entries(koffi.os.errno)
    .filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'EOPNOTSUPP' && name !== 'EDEADLOCK')
    .map(([name, number]) => [number, name]),
);

const MEANING: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  EEXIST: 'already exists',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  ENOTEMPTY: 'directory not empty',
  ELOOP: 'a symbolic link is in the way',
  EXDEV: 'crosses a mount point',
  ENOSPC: 'no space left on device',
  EDQUOT: 'disk quota exceeded',
  EROFS: 'read-only file system',
  ENAMETOOLONG: 'file name too long',
  EMLINK: 'too many links',
  ENOTTY: 'not supported by this file system',
  ENOTSUP: 'not supported',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  EMFILE: 'too many open files',
};

/** A path for the kernel: bytes without NUL. Strings are encoded as UTF-8. */
export type SysPath = string | Uint8Array;

/** Error name of this thread's last failed call (`ENOENT`). Must be read before any other call. */
export function lastErrno(): string {
  const number = koffi.errno();
  return NAME_OF.get(number) ?? `errno ${number}`;
}

/** The error for a call that has just failed on `path`. */
export function syscallError(syscall: string, path?: SysPath, errno: string = lastErrno()): SyscallError {
  const shown = path === undefined ? undefined : displayPath(path);
  const where = shown === undefined ? '' : ` ${shown}`;
  return new SyscallError(`${syscall}${where} failed: ${MEANING[errno] ?? errno} (${errno})`, {
    errno,
    syscall,
    path: shown,
  });
}

/** True when `error` is a failed system call with one of `names`; also for node's own errors. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  return names.includes(systemErrorName(error) ?? '');
}

/** A path for messages: control characters and bytes that are not UTF-8 are escaped as `\xNN`. */
export function displayPath(path: SysPath): string {
  const text = typeof path === 'string' ? path : Buffer.from(path).toString('utf8');
  const lossless = typeof path === 'string' || Buffer.from(text, 'utf8').equals(path);
  const source = lossless ? text : Buffer.from(path).toString('latin1');
  const unsafe = lossless
    ? /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
    : /[^\u0020-\u007e]/g;
  return source.replace(unsafe, (char) => {
    const code = char.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
