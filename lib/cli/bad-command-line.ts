import { UsageError } from '../errors.js';

/** An invalid command line; `what` is the part that was understood (`pull`). */
export class BadCommandLineError extends UsageError {
  readonly what: string;
  constructor(message: string, { what, hint }: { readonly what: string; readonly hint: string }) {
    super(message, { hint });
    this.what = what;
  }
}
