import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DiskSpaceError, StoreError } from '../errors.js';
import { findPoolBacking } from './pool-file.js';

/** A disk with less room cannot be told from a full one: it is what btrfs writes at once. Bytes. */
const FULL_BELOW = 4 << 20;

/**
 * Why `error` (EIO, EROFS) came up, as an error to show in its place, when the pool of the store at `root` is a file whose disk is full, or
 * has turned read-only; else `error`. The file is sparse: btrfs has room then, and its writes fail all the same.
 */
export async function explainPool(root: string, error: unknown): Promise<unknown> {
  const path = resolve(root);
  const backing = await findPoolBacking(path).catch(() => undefined);
  if (backing === undefined || !('file' in backing)) return error;
  const { isMountedReadOnly } = await import('../sys/index.js');
  const disk = dirname(backing.file);
  const { bavail, bsize } = await statfs(disk);
  const isFull = bavail * bsize < FULL_BELOW;
  const isStopped = isMountedReadOnly(path);
  if (!isFull && !isStopped) return error;
  const again = `unmount the pool (umount ${path}) and run this again, which mounts it`;
  if (!isFull)
    return new StoreError(`the store's pool ${backing.file} is read-only, as btrfs makes it after a failed write`, {
      path,
      cause: error,
      hint: `see dmesg for the reason; then ${again}`,
    });
  const state = isStopped ? ', and the pool has turned read-only' : '';
  return new DiskSpaceError(`the disk that carries the store's pool ${backing.file} is full${state}`, {
    available: bavail * bsize,
    cause: error,
    hint: `free space in ${disk} (df ${disk})${isStopped ? `; then ${again}` : ''}`,
  });
}
