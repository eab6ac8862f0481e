import { writeFile } from 'node:fs/promises';
import { StoreError } from '../../errors.js';

/**
 * Writes a digest or an ID to the file that an option names, if it is given; `-` is left to standard output. `what` begins the message
 * of the StoreError that it throws.
 */
export async function writeResultFile(path: string | undefined, text: string, what: string): Promise<void> {
  if (path === undefined || path === '-') return;
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new StoreError(`${what} cannot be written to ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}
