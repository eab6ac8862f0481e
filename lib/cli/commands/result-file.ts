import { writeFile } from 'node:fs/promises';
import { StoreError } from '../../errors.js';

/** Writes a digest or an ID to a file; `-` is left to standard output. `what` begins the message of the StoreError that it throws. */
export async function writeResultFile(path: string, text: string, what: string): Promise<void> {
  if (path === '-') return;
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new StoreError(`${what} cannot be written to ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}
