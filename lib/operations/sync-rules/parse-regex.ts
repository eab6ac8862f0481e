import { UsageError } from '../../errors.js';

/** Compiles a user's regular expression. Throws UsageError. */
export function parseRegex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(
      `${JSON.stringify(text.slice(0, 100))} is not a regular expression: ${(error as Error).message}`,
    );
  }
}
