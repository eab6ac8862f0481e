import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Creates a directory and its missing parents with `mode` (default 0700, less umask). Accepts an existing directory.
 * Throws node's system errors.
 *
 * Custom and synchronous, because node's recursive mkdir never returns where the kernel refuses a new directory with
 * ENOENT, as in /proc, and its asynchronous form reports ENOENT when the file system is full.
 */
export function makeDirectory(path: string, mode = 0o700): void {
  const missing = make(path, mode);
  if (missing === undefined) return;
  if (dirname(path) === path) throw missing;
  makeDirectory(dirname(path), mode);
  const refused = make(path, mode);
  if (refused !== undefined) throw refused;
}

/** Returns an ENOENT error instead of throwing it. */
function make(path: string, mode: number): Error | undefined {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return error as Error;
    if (!isDirectory(path)) throw error;
  }
  return undefined;
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
