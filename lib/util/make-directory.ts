import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and what is missing above it, all with `mode` (default 0700, less umask); one that is there is fine.
 * Throws node's system error.
 *
 * By hand and synchronous: node's recursive mkdir never ends where the kernel refuses a new directory with ENOENT, as in
 * /proc, and its asynchronous form says ENOENT where the file system is full.
 */
export function makeDirectory(path: string, mode = 0o700): void {
  const missing = make(path, mode);
  if (missing === undefined) return;
  if (dirname(path) === path) throw missing;
  makeDirectory(dirname(path), mode);
  const refused = make(path, mode);
  if (refused !== undefined) throw refused;
}

/** An error ENOENT is returned. */
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
