import { closeSync, readdirSync } from 'node:fs';
import {
  AT_REMOVEDIR,
  fdPath,
  isErrno,
  openAt,
  OPEN_DIRECTORY,
  renameAt,
  RENAME_NOREPLACE,
  unlinkAt,
} from '../sys/index.js';

/** The most directories held open at once; deeper ones are moved up first, so that depth needs no descriptors. */
const MAX_OPEN = 32;

/** Names in an open directory, as bytes. */
export function listNames(dir: number): Buffer[] {
  return readdirSync(fdPath(dir), { encoding: 'buffer' });
}

/**
 * Removes `name` in `dir`; a directory with its contents. Never follows links. Returns false when it does not exist.
 * Throws SyscallError.
 */
export function removeTree(dir: number, name: Uint8Array): boolean {
  try {
    unlinkAt(dir, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    if (!isErrno(error, 'EISDIR', 'EPERM')) throw error;
  }
  const top = openAt(dir, name, OPEN_DIRECTORY);
  try {
    // Deep directories are moved here during the pass, so another pass may be needed.
    while (emptyDirectory(top, { top, depth: 0, moved: 0 }));
  } finally {
    closeSync(top);
  }
  unlinkAt(dir, name, AT_REMOVEDIR);
  return true;
}

interface Removal {
  readonly top: number;
  readonly depth: number;
  moved: number;
}

/** Returns true when something was moved up into the top directory. */
function emptyDirectory(fd: number, removal: Removal): boolean {
  let movedSomething = false;
  for (const name of listNames(fd)) {
    if (removeLeaf(fd, name)) continue;
    if (removal.depth >= MAX_OPEN) {
      moveUp(fd, name, removal);
      movedSomething = true;
      continue;
    }
    const child = openAt(fd, name, OPEN_DIRECTORY);
    try {
      const inner = { top: removal.top, depth: removal.depth + 1, moved: removal.moved };
      if (emptyDirectory(child, inner)) movedSomething = true;
      removal.moved = inner.moved;
    } finally {
      closeSync(child);
    }
    unlinkAt(fd, name, AT_REMOVEDIR);
  }
  return movedSomething;
}

/** Removes a file or an empty directory. Returns false for a directory with entries. */
function removeLeaf(dir: number, name: Uint8Array): boolean {
  try {
    unlinkAt(dir, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true;
    if (!isErrno(error, 'EISDIR', 'EPERM')) throw error;
  }
  try {
    unlinkAt(dir, name, AT_REMOVEDIR);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  }
}

function moveUp(fd: number, name: Uint8Array, removal: Removal): void {
  for (;;) {
    removal.moved += 1;
    try {
      renameAt(fd, name, removal.top, `.removing-${removal.moved}`, RENAME_NOREPLACE);
      return;
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
}
