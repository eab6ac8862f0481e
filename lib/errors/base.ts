import { withoutLogins } from './without-logins.js';

/** What every error may carry besides its message. */
export interface ErrorOptions {
  /** The next action for the user, one line. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Base of all errors that imgtool raises on purpose; anything else that surfaces is a bug. */
export abstract class ImgtoolError extends Error {
  abstract readonly code: string;
  readonly hint: string | undefined;

  constructor(message: string, options: ErrorOptions = {}) {
    super(withoutLogins(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}
