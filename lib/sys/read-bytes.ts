import { readSync } from 'node:fs';
import { syscallError, type SysPath } from './errno.js';

/**
 * Reads up to `length` bytes at `position` of an open file into `into` at `offset`. Returns 0 at the end of the file.
 * Throws SyscallError with `path`.
 */
export function readBytes(
  fd: number,
  into: Buffer,
  where: { readonly offset: number; readonly length: number; readonly position: number; readonly path: SysPath },
): number {
  try {
    return readSync(fd, into, where.offset, where.length, where.position);
  } catch (error) {
    throw syscallError('read', where.path, (error as NodeJS.ErrnoException).code);
  }
}
