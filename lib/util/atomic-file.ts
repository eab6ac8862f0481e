import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Prefix of the temporary files of `writeFileAtomic`, to be skipped when listing a directory. */
export const TEMPORARY_PREFIX = '.new-';

/**
 * Replaces `path` atomically and durably: temporary file beside it, fsync, rename, fsync of the directory. `mode`
 * applies regardless of the umask; default 0600. On failure the old content stays, without a temporary file. Throws
 * node's system errors.
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

/** Removes the temporary files of killed writers of `path`. No other process may be writing it. Throws node's system errors. */
export async function removeUnfinished(path: string): Promise<void> {
  const start = `${TEMPORARY_PREFIX}${basename(path)}-`;
  for (const name of await readdir(dirname(path))) {
    const isOne = name.startsWith(start) && /^[0-9a-f]{12}$/.test(name.slice(start.length));
    if (isOne) await rm(join(dirname(path), name), { force: true });
  }
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
