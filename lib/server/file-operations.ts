import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../util/index.js';

/** Resolves with undefined instead of rejecting with one of `codes` (default: the file does not exist). */
export async function unless<T>(operation: Promise<T>, ...codes: string[]): Promise<T | undefined> {
  const expected = codes.length === 0 ? ['ENOENT', 'ENOTDIR'] : codes;
  try {
    return await operation;
  } catch (error) {
    if (expected.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** The bytes of a small file, or undefined when it does not exist. */
export function readIfPresent(path: string): Promise<Buffer | undefined> {
  return unless(readFile(path));
}

/** Names in a directory; empty when it does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  return (await unless(readdir(path))) ?? [];
}

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
