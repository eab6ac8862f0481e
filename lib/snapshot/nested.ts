import { closeSync } from 'node:fs';
import {
  directoryPath,
  isErrno,
  isSubvolumeReadOnly,
  listNestedSubvolumes,
  openAt2,
  OPEN_DIRECTORY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  setInodeFlags,
  getInodeFlags,
  setSubvolumeReadOnly,
  subvolumeId,
  type NestedSubvolume,
} from '../sys/index.js';

/** The path from subvolume `top`, which contains `fd`, to the nested subvolume `id`; '.' for `top` itself. */
export function pathInside(fd: number, top: bigint, nested: readonly NestedSubvolume[], id: bigint): Buffer {
  const parts: Buffer[] = [];
  for (let at = id; at !== top;) {
    const entry = nested.find((candidate) => candidate.id === at)!;
    parts.unshift(directoryPath(fd, entry.parentId, entry.directory), entry.name, Buffer.from('/'));
    at = entry.parentId;
  }
  return Buffer.concat([Buffer.from('./'), ...parts]);
}

/** Opens a directory below `root` without following links. The caller closes it. Throws SyscallError. */
export function openInside(root: number, path: Uint8Array): number {
  return openAt2(root, path.length === 0 ? '.' : path, {
    flags: OPEN_DIRECTORY,
    resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  });
}

/**
 * Opens a subvolume nested in the one with the root `top`. Undefined when it was renamed, removed or mounted over. The
 * caller closes it. Throws SyscallError.
 */
export function openNested(top: number, nested: readonly NestedSubvolume[], id: bigint): number | undefined {
  let fd: number;
  try {
    fd = openInside(top, pathInside(top, subvolumeId(top), nested, id));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV')) return undefined;
    throw error;
  }
  if (isSameSubvolume(fd, id)) return fd;
  closeSync(fd);
  return undefined;
}

function isSameSubvolume(fd: number, id: bigint): boolean {
  try {
    return subvolumeId(fd) === id;
  } catch (error) {
    // Another file system is mounted there.
    if (isErrno(error, 'ENOTTY')) return false;
    throw error;
  }
}

/**
 * Makes the subvolume with the root `top` and all nested ones writable: clears read-only flags, and `chattr +i` and
 * `+a` of their roots. Throws SyscallError.
 */
export async function makeAllWritable(top: number): Promise<void> {
  await makeWritable(top);
  await forEachNested(top, makeWritable);
}

/** Calls `act` with the root of each subvolume nested in the one with the root `top`, parents first. Throws SyscallError. */
export async function forEachNested(top: number, act: (fd: number) => void | Promise<void>): Promise<void> {
  const nested = listNestedSubvolumes(top, subvolumeId(top));
  for (const { id } of nested) {
    const fd = openNested(top, nested, id);
    if (fd === undefined) continue;
    try {
      await act(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** Makes the subvolume with the root `fd` writable, including its root directory. Throws SyscallError. */
export async function makeWritable(fd: number): Promise<void> {
  if (isSubvolumeReadOnly(fd)) await setSubvolumeReadOnly(fd, false);
  unlockDirectory(fd);
}

/** FS_IMMUTABLE_FL and FS_APPEND_FL. */
const LOCKED = 0x10 | 0x20;

/** True when the open directory `fd` has `chattr +i` or `+a`. Throws SyscallError. */
export function isDirectoryLocked(fd: number): boolean {
  return (getInodeFlags(fd) & LOCKED) !== 0;
}

/** Clears `chattr +i` and `+a`. Throws SyscallError. */
export function unlockDirectory(fd: number): void {
  if (isDirectoryLocked(fd)) setInodeFlags(fd, getInodeFlags(fd) & ~LOCKED);
}
