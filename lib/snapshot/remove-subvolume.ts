import { randomBytes } from 'node:crypto';
import { closeSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  AT_FDCWD,
  OPEN_DIRECTORY,
  SUBVOLUME_ROOT_INODE,
  destroySubvolume,
  destroySubvolumeById,
  directoryPath,
  isErrno,
  isSubvolumeReadOnly,
  listNestedSubvolumes,
  mountPoints,
  openAt,
  renameAt,
  setSubvolumeReadOnly,
  statAt,
  subvolumeId,
  unmountFilesystem,
  type NestedSubvolume,
} from '../sys/index.js';

/**
 * Deletes the subvolume at `path`, or the ordinary file or directory that some crash left there: moved aside first, so
 * that its name is free at once and a crash leaves it where `sweep` looks. Mounts inside are detached, never entered;
 * nested subvolumes go first. Nothing there: done.
 */
export async function removeSubvolume(path: string, trash: string): Promise<void> {
  const [parent, name] = [dirname(path), basename(path)];
  const kind = kindOf(path);
  if (kind === undefined) return;
  await detachMounts(path);
  const away = `${randomBytes(16).toString('hex')}`;
  // A read-only subvolume can change its name but not its directory.
  const aside = kind === 'read-only' ? join(parent, `.gone-${away}`) : join(trash, away);
  if (parent !== trash && !name.startsWith('.gone-')) {
    const place = moveAside(path, aside);
    if (place !== undefined) await destroy(place, kind);
  } else await destroy(path, kind);
}

type Kind = 'read-only' | 'writable' | 'ordinary';

function kindOf(path: string): Kind | undefined {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, path, OPEN_DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ENOTDIR', 'ELOOP')) return 'ordinary';
    throw error;
  }
  try {
    if (statAt(fd, '').ino !== SUBVOLUME_ROOT_INODE) return 'ordinary';
    return isSubvolumeReadOnly(fd) ? 'read-only' : 'writable';
  } finally {
    closeSync(fd);
  }
}

/** Where it is then: on a full disk btrfs has room to delete, and none to rename. Undefined: another process removes it now. */
function moveAside(path: string, aside: string): string | undefined {
  try {
    renameAt(AT_FDCWD, path, AT_FDCWD, aside);
    return aside;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ENOSPC', 'EDQUOT')) return path;
    throw error;
  }
}

async function destroy(path: string, kind: Kind): Promise<void> {
  if (kind === 'ordinary') {
    await rm(path, { recursive: true, force: true });
    return;
  }
  const parent = openAt(AT_FDCWD, dirname(path), OPEN_DIRECTORY);
  try {
    await destroyNested(path);
    await destroySubvolume(parent, basename(path));
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  } finally {
    closeSync(parent);
  }
}

async function destroyNested(path: string): Promise<void> {
  const top = openAt(AT_FDCWD, path, OPEN_DIRECTORY);
  try {
    const id = subvolumeId(top);
    const nested = listNestedSubvolumes(top, id);
    for (const child of nested.toReversed()) {
      try {
        await destroySubvolumeById(top, child.id);
      } catch (error) {
        // Nothing can be deleted out of a read-only parent.
        if (!isErrno(error, 'EROFS')) throw error;
        await makeWritable(top, pathInside(top, id, nested, child.parentId));
        await destroySubvolumeById(top, child.id);
      }
    }
  } finally {
    closeSync(top);
  }
}

/** Path from subvolume `top` to the nested subvolume `id`, '.' for itself. */
function pathInside(fd: number, top: bigint, nested: readonly NestedSubvolume[], id: bigint): Buffer {
  const parts: Buffer[] = [];
  for (let at = id; at !== top;) {
    const entry = nested.find((candidate) => candidate.id === at)!;
    parts.unshift(directoryPath(fd, entry.parentId, entry.directory), entry.name, Buffer.from('/'));
    at = entry.parentId;
  }
  return Buffer.concat([Buffer.from('./'), ...parts]);
}

async function makeWritable(top: number, path: Buffer): Promise<void> {
  const fd = openAt(top, path, OPEN_DIRECTORY);
  try {
    await setSubvolumeReadOnly(fd, false);
  } finally {
    closeSync(fd);
  }
}

/** Detaches every mount at or below `path`, the last one first; what is mounted there stays as it is. */
async function detachMounts(path: string): Promise<void> {
  const top = Buffer.from(realpathSync(dirname(path)) + '/' + basename(path));
  const inside = Buffer.concat([top, Buffer.from('/')]);
  const targets = mountPoints().filter(
    (target) => target.equals(top) || target.subarray(0, inside.length).equals(inside),
  );
  for (const target of targets.reverse()) await unmountFilesystem(target, { lazy: true });
}
