import { writeFile } from 'node:fs/promises';
import { StoreError } from '../../errors.js';

/**
 * Writes a digest or ID to the file that an option names, if given; `-` is handled by the caller. Throws StoreError,
 * whose message begins with `what`.
 */
export async function writeResultFile(path: string | undefined, text: string, what: string): Promise<void> {
  if (path === undefined || path === '-') return;
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new StoreError(`${what} cannot be written to ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}
