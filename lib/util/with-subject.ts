import { ImgtoolError } from '../errors.js';

/** Puts what the work was about before the message of an error, unless the message names it. Returns the error. */
export function withSubject(error: unknown, kind: string, name: string): unknown {
  if (error instanceof ImgtoolError && !error.message.includes(name))
    error.message = `${kind} ${name}: ${error.message}`;
  return error;
}
