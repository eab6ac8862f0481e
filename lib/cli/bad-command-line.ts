import { UsageError } from '../errors.js';

/** A command line that makes no sense; `what` is how far it could be understood (`pull`). */
export class BadCommandLineError extends UsageError {
  readonly what: string;
  constructor(message: string, { what, hint }: { readonly what: string; readonly hint: string }) {
    super(message, { hint });
    this.what = what;
  }
}
