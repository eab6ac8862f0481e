import { randomBytes } from 'node:crypto';
import { closeSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { removeTree } from '../rootfs/index.js';
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
  statAt,
  subvolumeId,
  detachMount,
  type NestedSubvolume,
} from '../sys/index.js';
import { isDirectoryLocked, makeWritable, openInside, pathInside, unlockDirectory } from './nested.js';

/**
 * Deletes the subvolume (or an ordinary file or directory left by a crash) at `path`. Moves it aside first, so that its
 * name is free immediately and `sweep` finds it after a crash. Detaches mounts inside without entering them; deletes
 * nested subvolumes first. Does nothing when it does not exist.
 */
export async function removeSubvolume(path: string, trash: string): Promise<void> {
  const [parent, name] = [dirname(path), basename(path)];
  const kind = await kindOf(path);
  if (kind === undefined) return;
  await detachMounts(path);
  const away = `${randomBytes(16).toString('hex')}`;
  // A read-only subvolume can be renamed but not moved to another directory.
  const aside = kind === 'read-only' ? join(parent, `.gone-${away}`) : join(trash, away);
  if (parent !== trash && !name.startsWith('.gone-')) {
    const place = moveAside(path, aside);
    if (place !== undefined) await destroy(place, kind);
  } else await destroy(path, kind);
}

type Kind = 'read-only' | 'writable' | 'ordinary';

/** The kind of file at `path`. Clears `chattr +i` and `+a` of its root, which would prevent its removal. */
async function kindOf(path: string): Promise<Kind | undefined> {
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
    if (isDirectoryLocked(fd)) await makeWritable(fd);
    return isSubvolumeReadOnly(fd) ? 'read-only' : 'writable';
  } finally {
    closeSync(fd);
  }
}

/**
 * Returns the new path, or the old one on a full disk, where btrfs can delete but not rename. Undefined: another
 * process is removing it.
 */
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
  const parent = openAt(AT_FDCWD, dirname(path), OPEN_DIRECTORY);
  try {
    // Not node's `rm`, which treats a link that cannot be removed (chattr +i) as a directory and empties its target.
    if (kind === 'ordinary') return void removeTree(parent, Buffer.from(basename(path)));
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
    const nested = listNestedSubvolumes(top, subvolumeId(top));
    for (const child of nested.toReversed()) {
      try {
        await destroySubvolumeById(top, child.id);
      } catch (error) {
        // Deleting requires a writable parent, and neither the parent nor the subvolume may be immutable.
        if (!isErrno(error, 'EROFS', 'EPERM')) throw error;
        await unlock(top, nested, child);
        await destroySubvolumeById(top, child.id);
      }
    }
  } finally {
    closeSync(top);
  }
}

async function unlock(top: number, nested: readonly NestedSubvolume[], child: NestedSubvolume): Promise<void> {
  const [id, path] = [subvolumeId(top), (of: bigint): Buffer => pathInside(top, subvolumeId(top), nested, of)];
  const parent = nested.find((entry) => entry.id === child.parentId)?.id ?? id;
  await withInside(top, path(parent), makeWritable);
  const directory = directoryPath(top, child.parentId, child.directory);
  await withInside(top, Buffer.concat([path(parent), directory]), unlockDirectory);
  await withInside(top, path(child.id), makeWritable);
}

async function withInside(top: number, path: Buffer, act: (fd: number) => void | Promise<void>): Promise<void> {
  const fd = openInside(top, path);
  try {
    await act(fd);
  } finally {
    closeSync(fd);
  }
}

/** Detaches every mount at or below `path`, the last one first. The mounted file systems stay intact. */
async function detachMounts(path: string): Promise<void> {
  const top = Buffer.from(realpathSync(dirname(path)) + '/' + basename(path));
  const inside = Buffer.concat([top, Buffer.from('/')]);
  const targets = mountPoints().filter(
    (target) => target.equals(top) || target.subarray(0, inside.length).equals(inside),
  );
  for (const target of targets.reverse()) await detachMount(target);
}
