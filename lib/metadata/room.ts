import { closeSync, openSync, renameSync, rmSync, statSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull, systemErrorName } from '../errors.js';

/**
 * Room for the records of commands that free space. On a btrfs whose metadata is full, or whose quota is reached, names can
 * be removed but none made; so a file with attributes, which are metadata, is kept ready to be given up.
 */

const FILE = 'ballast';
/** Making and renaming one file reserves a few MiB of metadata, whatever it takes in the end. */
const BALLAST_BYTES = 8 << 20;
/** Attributes fit a node of the tree: 16 KiB, or 4 KiB where data and metadata are mixed. */
const VALUE_BYTES = [16_000, 3_700] as const;
/** A smaller file system, or a fuller one, has no room to spare. */
const LEAST_FREE = 16 * BALLAST_BYTES;
const PROBE_BYTES = 2_000;

/** Makes the ballast in the store `root` when it is missing and there is room enough. Never fails. */
export async function keepRoom(root: string): Promise<void> {
  const path = join(root, FILE);
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize < LEAST_FREE) return;
  const { setXattrFd } = await import('../sys/index.js');
  for (const bytes of VALUE_BYTES) {
    try {
      // Two processes at once fill one file: the names of the attributes are the same.
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

/** Gives the ballast of the store `root` up when no file can be made there any more. */
export function makeRoom(root: string): void {
  if (!hasNoRoom(root)) return;
  try {
    rmSync(join(root, FILE), { force: true });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** Does what writing a record does, and undoes it. */
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
