import { DiskSpaceError, findCause, isDiskFull, systemErrorName } from '../../errors.js';

/** True for an error caused by a full or read-only store, which must not fail commands that only read. */
export function isUnwritable(error: unknown): boolean {
  return isForWantOfRoom(error) || findCause(error, (cause) => systemErrorName(cause) === 'EROFS') !== undefined;
}

/** True for an error caused by a full disk, of any class. */
export function isForWantOfRoom(error: unknown): boolean {
  return findCause(error, (cause) => cause instanceof DiskSpaceError || isDiskFull(cause)) !== undefined;
}
