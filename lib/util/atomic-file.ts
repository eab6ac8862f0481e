import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Prefix of the temporary files of `writeFileAtomic`: whoever lists the directory skips names that begin so. */
export const TEMPORARY_PREFIX = '.new-';

/**
 * Replaces `path` as a whole and durably: temporary file beside it, fsync, rename, fsync of the directory. `mode` as
 * is, 0600 when not given. On failure the old content stays and no temporary file. Throws node's system error.
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${basename(path)}-${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', mode);
    await withHandle(file, async () => {
      await file.writeFile(content);
      await file.sync();
    });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await withHandle(directory, () => directory.sync());
}

async function withHandle(handle: FileHandle, use: () => Promise<void>): Promise<void> {
  try {
    await use();
  } finally {
    await handle.close();
  }
}
