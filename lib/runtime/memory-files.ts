import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import type { MemoryFile, VolumeMount } from './types.js';

/** A tmpfs on every Linux: files in it never reach a disk. */
const MEMORY = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;

/**
 * Writes the files of a run into memory, to be mounted read-only and removed by `removeMemoryFiles`. Throws StoreError
 * when this machine has no in-memory file system.
 */
export function writeMemoryFiles(id: string, files: readonly MemoryFile[]): VolumeMount[] {
  if (files.length === 0) return [];
  if (!existsSync(MEMORY) || statfsSync(MEMORY).type !== TMPFS_MAGIC)
    throw new StoreError(`${MEMORY} is not an in-memory file system`, {
      path: MEMORY,
      hint: 'secrets are never written to a disk: mount a tmpfs there',
    });
  const directory = directoryOf(id);
  mkdirSync(directory, { mode: 0o700 });
  return files.map(({ target, content, mode, uid, gid }, index) => {
    const source = join(directory, String(index));
    writeFileSync(source, content, { mode: 0o600, flag: 'wx' });
    chownSync(source, uid, gid);
    chmodSync(source, mode);
    return { source, target, readOnly: true };
  });
}

/** Removes the files that `writeMemoryFiles` wrote for a run, if any. */
export function removeMemoryFiles(id: string): void {
  const directory = directoryOf(id);
  // Another user can create a directory of this name, and replace its content with links while it is removed.
  if (lstatSync(directory, { throwIfNoEntry: false })?.uid !== process.geteuid!()) return;
  rmSync(directory, { recursive: true, force: true });
}

function directoryOf(id: string): string {
  return join(MEMORY, `imgtool-${id}`);
}
