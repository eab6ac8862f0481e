import { findCause, systemErrorName } from '../errors.js';
import { isForWantOfRoom } from './keep-reserve.js';

/** Whether something could not be written to the store because it is full or read-only: no reason to fail what only reads it. */
export function isUnwritable(error: unknown): boolean {
  return isForWantOfRoom(error) || findCause(error, (cause) => systemErrorName(cause) === 'EROFS') !== undefined;
}
