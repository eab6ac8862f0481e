import { readdir, readFile } from 'node:fs/promises';

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
