import { closeSync, openSync } from 'node:fs';
import type { HeldLock } from './types.js';

/** The locks without files held by this process, by directory. */
const held = new Map<string, { readonly fd: number; readonly names: Set<string> }>();

/**
 * Takes the lock `name` in `directory` when its file cannot be created because the disk is full. No other process can
 * hold it then, because its file would exist. Between processes, all locks of this kind are one (on the directory
 * itself); within a process they are separate. Undefined: it is held. Throws node's error when the directory is
 * missing.
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
