import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DiskSpaceError, StoreError } from '../errors.js';
import { findPoolBacking } from './pool-file.js';

/** A disk with less free space counts as full, because btrfs writes this much at once. Bytes. */
const FULL_BELOW = 4 << 20;

/**
 * The error to show instead of `error` (EIO, EROFS) when the store's pool file is on a full disk, or the pool has
 * turned read-only; otherwise `error` itself. On a full disk, writes to the sparse file fail although btrfs has space.
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
