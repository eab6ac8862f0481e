import { findCause, isDiskFull, systemErrorName } from '../errors.js';

/** Whether something could not be noted in the store because it is full or read-only: no reason to fail what only reads it. */
export function isUnwritable(error: unknown): boolean {
  return findCause(error, (cause) => isDiskFull(cause) || systemErrorName(cause) === 'EROFS') !== undefined;
}
