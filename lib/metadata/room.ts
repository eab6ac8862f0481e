import { closeSync, openSync, renameSync, rmSync, statSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull, systemErrorName } from '../errors.js';

/**
 * Reserves space for the records of commands that free space. On a btrfs with full metadata or a reached quota, names
 * can be removed but not created. Therefore a file with attributes, which occupy metadata, is kept and removed on
 * demand.
 */

const FILE = 'ballast';
/** Size in bytes of the reserve: creating and renaming one file reserves a few MiB of metadata, whatever it finally uses. */
const BALLAST_BYTES = 8 << 20;
/** Sizes in bytes of an attribute that fits into a tree node: 16 KiB, or 4 KiB when data and metadata are mixed. */
const VALUE_BYTES = [16_000, 3_700] as const;
/** Free space in bytes below which a file system has none to spare for the reserve. */
const LEAST_FREE = 16 * BALLAST_BYTES;
const PROBE_BYTES = 2_000;

/** Creates the reserve in the store `root` if it is missing and there is enough space. Never fails. */
export async function keepRoom(root: string): Promise<void> {
  const path = join(root, FILE);
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize < LEAST_FREE) return;
  const { setXattrFd } = await import('../sys/index.js');
  for (const bytes of VALUE_BYTES) {
    try {
      // Concurrent processes fill the same file, because the names of the attributes are the same.
      const fd = openSync(path, 'a', 0o600);
      try {
        const value = Buffer.alloc(bytes, FILE);
        for (let i = 0; i * bytes < BALLAST_BYTES; i++) setXattrFd(fd, `user.${FILE}-${i}`, value);
      } finally {
        closeSync(fd);
      }
      return;
    } catch {
      rmSync(path, { force: true });
    }
  }
}

/** Removes the reserve of the store `root` when no file can be created there. */
export function makeRoom(root: string): void {
  if (!hasNoRoom(root)) return;
  try {
    rmSync(join(root, FILE), { force: true });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** Tries to create and rename a file, as writing a record does, and removes it. */
function hasNoRoom(root: string): boolean {
  const probe = join(root, 'locks', `.probe-${process.pid}`);
  const renamed = `${probe}-renamed`;
  try {
    const fd = openSync(probe, 'w', 0o600);
    try {
      writeSync(fd, Buffer.alloc(PROBE_BYTES));
    } finally {
      closeSync(fd);
    }
    renameSync(probe, renamed);
    return false;
  } catch (error) {
    return isDiskFull(error);
  } finally {
    for (const path of [probe, renamed]) removeProbe(path);
  }
}

function removeProbe(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    if (systemErrorName(error) !== 'EROFS') throw error;
  }
}
