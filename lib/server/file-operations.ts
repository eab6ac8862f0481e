import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectory, unless } from '../util/index.js';

/** Runs `operation`. If a directory is missing, creates the directory of `path` and runs it again. */
export async function withDirectory<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    makeDirectory(dirname(path), 0o777);
    return operation();
  }
}

/** Writes `bytes` to `path` through a file in `temporary`. After a crash, `path` has the old or the new content. */
export async function replaceFile(path: string, bytes: Uint8Array | string, temporary: string): Promise<void> {
  const draft = join(temporary, randomUUID());
  try {
    const handle = await open(draft, 'wx');
    try {
      await handle.writeFile(bytes);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await withDirectory(path, () => rename(draft, path));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Makes the names in these directories survive a power loss. Ignores missing directories. */
export async function syncDirectories(paths: readonly string[]): Promise<void> {
  await Promise.all(
    paths.map(async (path) => {
      const handle = await unless(open(path, 'r'));
      if (handle === undefined) return;
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
  );
}
