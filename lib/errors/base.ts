import { withoutLogins } from './without-logins.js';

/** Options common to every error. */
export interface ErrorOptions {
  /** The user's next action, in one line. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Base class of all errors that imgtool raises on purpose. Any other error that surfaces is a bug. */
export abstract class ImgtoolError extends Error {
  abstract readonly code: string;
  readonly hint: string | undefined;

  constructor(message: string, options: ErrorOptions = {}) {
    super(withoutLogins(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}
