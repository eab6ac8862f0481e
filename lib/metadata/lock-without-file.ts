import { closeSync, openSync } from 'node:fs';
import type { HeldLock } from './types.js';

/** What this process holds for want of files, by directory. */
const held = new Map<string, { readonly fd: number; readonly names: Set<string> }>();

/**
 * Takes the lock `name` in `directory` where its file cannot be made because the disk is full: nobody else holds it, as the
 * file would be there. All locks of this kind are one between processes (the directory itself) and many within one. Undefined:
 * another has it. Throws node's error when the directory is gone.
 */
export async function lockWithoutFile(directory: string, name: string): Promise<HeldLock | undefined> {
  const { tryFlock } = await import('../sys/index.js');
  let place = held.get(directory);
  if (place === undefined) {
    const fd = openSync(directory, 'r');
    if (!tryFlock(fd, 'exclusive')) {
      closeSync(fd);
      return undefined;
    }
    place = { fd, names: new Set() };
    held.set(directory, place);
  }
  const { fd, names } = place;
  if (names.has(name)) return undefined;
  names.add(name);
  return {
    release() {
      if (!names.delete(name) || names.size > 0) return;
      held.delete(directory);
      closeSync(fd);
    },
  };
}
