import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import type { PoolBacking } from './types.js';

/** Path of the sparse file of `root`'s embedded pool. */
export function poolFileOf(root: string): string {
  return `${root}.btrfs`;
}

/** Path of the marker file below the mount point. It records that `root` has a pool, and its backing. */
export function poolMarkerOf(root: string): string {
  return join(root, 'pool.json');
}

/** True when `root` has an embedded pool, mounted or not. */
export async function hasPool(root: string): Promise<boolean> {
  return (await findPoolBacking(root)) !== undefined;
}

/** The backing of `root`'s pool, or undefined without a pool. Throws StoreError when the recorded backing is missing. */
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
