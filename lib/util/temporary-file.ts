import { randomBytes } from 'node:crypto';
import { openSync, unlinkSync } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from './file-error.js';

/**
 * Creates a file without a name for reading and writing, which does not outlive the process; the caller closes it. Throws UsageError (the
 * directory cannot be written), DiskSpaceError.
 */
export async function openTemporary(directory: string): Promise<FileHandle> {
  const path = newPath(directory);
  try {
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  } catch (error) {
    throw temporaryError(directory, error);
  }
}

/** As `openTemporary`: a descriptor. */
export function openTemporarySync(directory: string): number {
  const path = newPath(directory);
  try {
    const fd = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    return fd;
  } catch (error) {
    throw temporaryError(directory, error);
  }
}

function newPath(directory: string): string {
  return join(directory, `imgtool-${randomBytes(12).toString('hex')}`);
}

/** The error for a directory in which nothing can be made. `cause`: node's error. */
export function temporaryError(directory: string, cause: unknown): Error {
  return fileError(
    `the directory for temporary files ${directory}`,
    'written',
    cause,
    'set TMPDIR to another directory',
  );
}
