import { UsageError } from '../errors.js';

/** Creates an error for a position in a template. */
export type TemplateErrorOf = (at: number, message: string, hint?: string) => UsageError;

/** Creates the `TemplateErrorOf` of a template. Lines and columns count from 1. */
export function templateErrorsOf(text: string): TemplateErrorOf {
  return (at, message, hint) => {
    const before = text.slice(0, at).split('\n');
    const column = before.at(-1)!.length + 1;
    const place = before.length === 1 ? `column ${column}` : `line ${before.length}, column ${column}`;
    return new UsageError(`the template is wrong at ${place}: ${message}`, { hint });
  };
}
