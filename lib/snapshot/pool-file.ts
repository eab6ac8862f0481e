import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import type { PoolBacking } from './types.js';

/** The sparse file of the embedded pool of `root`. */
export function poolFileOf(root: string): string {
  return `${root}.btrfs`;
}

/** Written into the directory under the mount point: tells that a pool belongs here, and what carries it. */
export function poolMarkerOf(root: string): string {
  return join(root, 'pool.json');
}

/** Whether `root` has an embedded pool, mounted or not. */
export async function hasPool(root: string): Promise<boolean> {
  return (await findPoolBacking(root)) !== undefined;
}

/** What carries the pool of `root`, or undefined without one. Throws StoreError when the marker says what is gone. */
export async function findPoolBacking(root: string): Promise<PoolBacking | undefined> {
  const file = poolFileOf(root);
  if (await exists(file)) return { file };
  let text: string;
  try {
    text = await readFile(poolMarkerOf(root), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new StoreError(`${poolMarkerOf(root)} cannot be read: ${code ?? String(error)}`, {
      path: root,
      cause: error,
    });
  }
  const device = deviceIn(text);
  if (device !== undefined && (await exists(device))) return { device };
  const lost = device ?? file;
  throw new StoreError(`the pool of the store at ${root} is missing: ${lost} does not exist`, {
    path: lost,
    hint: `restore the file, or remove ${root} to start with an empty store`,
  });
}

function deviceIn(text: string): string | undefined {
  try {
    const { device } = JSON.parse(text) as { readonly device?: unknown };
    return typeof device === 'string' ? device : undefined;
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
