import { DiskSpaceError, findCause, isDiskFull, systemErrorName } from '../../errors.js';

/** Whether something could not be written to the store because it is full or read-only: no reason to fail what only reads it. */
export function isUnwritable(error: unknown): boolean {
  return isForWantOfRoom(error) || findCause(error, (cause) => systemErrorName(cause) === 'EROFS') !== undefined;
}

/** Whether something failed because the disk is full, however it came to be told. */
export function isForWantOfRoom(error: unknown): boolean {
  return findCause(error, (cause) => cause instanceof DiskSpaceError || isDiskFull(cause)) !== undefined;
}
