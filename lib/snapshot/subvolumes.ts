import { closeSync } from 'node:fs';
import { readdir, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AlreadyExistsError, DiskSpaceError, NotFoundError, SubvolumeError, SyscallError } from '../errors.js';
import { isDigest, type ChainId } from '../spec/index.js';
import {
  AT_FDCWD,
  OPEN_DIRECTORY,
  RENAME_NOREPLACE,
  SUBVOLUME_ROOT_INODE,
  bytesWrittenAfter,
  chmodFd,
  chownFd,
  setTimesFd,
  createSubvolume,
  isErrno,
  isSubvolumeReadOnly,
  openAt,
  renameAt,
  setSubvolumeReadOnly,
  snapshotSubvolume,
  statAt,
  subvolumeInfo,
  subvolumeOrigin,
  syncBtrfs,
} from '../sys/index.js';
import { makeDirectory } from '../util/index.js';
import { freezeTree, lastForeignTransaction } from './freeze-tree.js';
import { checkUnused, SWAP_IN_USE } from './in-use.js';
import { forEachNested, makeAllWritable } from './nested.js';
import { removeSubvolume } from './remove-subvolume.js';
import type { SnapshotOrigin } from './types.js';

/** A committed layer to snapshot. */
interface ParentLayer {
  readonly layer: ChainId;
  readonly path: string;
}

/** True when `path` is a complete layer. The read-only flag is set before the name, so a writable one is a leftover. */
export function isCommitted(path: string): boolean {
  const fd = openDirectory(path);
  if (fd === undefined) return false;
  try {
    return statAt(fd, '').ino === SUBVOLUME_ROOT_INODE && isSubvolumeReadOnly(fd);
  } finally {
    closeSync(fd);
  }
}

/** Creates a writable subvolume at `path`: empty with mode 0755, or a snapshot of `parent`. */
export async function makeWritable(path: string, parent: ParentLayer | undefined): Promise<void> {
  await translated(path, async () => {
    if (parent === undefined) {
      await withDirectory(dirname(path), (dir) => createSubvolume(dir, basename(path)));
      await withDirectory(path, (fd) => {
        chmodFd(fd, 0o755);
        // The attributes of a root that no layer describes must not vary between pulls, because commit packs it into layers.
        setTimesFd(fd, 0n);
      });
      return;
    }
    if (!isCommitted(parent.path))
      throw new NotFoundError(`the layer ${parent.layer} is not in the store`, {
        kind: 'layer',
        subject: parent.layer,
      });
    await snapshot(parent.path, path, false);
  });
}

/** Creates the writable subvolume of a container; its directory contains nothing else. */
export async function makeContainer(path: string, parent: ParentLayer | undefined): Promise<string> {
  const id = basename(dirname(path));
  makeDirectory(dirname(path));
  try {
    await makeWritable(path, parent);
  } catch (error) {
    await rmdir(dirname(path)).catch(() => undefined);
    if (isErrno((error as Error).cause, 'EEXIST'))
      throw new AlreadyExistsError(`container ${id} already exists`, { kind: 'container', subject: id });
    throw error;
  }
  return path;
}

/** Creates the empty writable subvolume `path` of a cache mount if it is missing. Must be called under a lock. */
export async function makeCache(
  path: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> {
  if (openable(path)) return;
  makeDirectory(dirname(path));
  await makeWritable(path, undefined);
  await translated(path, () =>
    withDirectory(path, (fd) => {
      chownFd(fd, uid, gid);
      chmodFd(fd, mode);
    }),
  );
}

/** Creates a read-only snapshot of a container at `path`; see `freezeTree`. */
export async function freezeContainer(
  path: string,
  container: { readonly id: string; readonly path: string; readonly trash: string },
): Promise<void> {
  await translated(path, async () => {
    const fd = openDirectory(container.path);
    if (fd === undefined)
      throw new NotFoundError(`container ${container.id} has no file system in the store`, {
        kind: 'container',
        subject: container.id,
      });
    try {
      await freezeTree(fd, path, () => removeSubvolume(path, container.trash));
    } finally {
      closeSync(fd);
    }
  });
}

/** Removes flags that would prevent changing or removing the container at `path`. Does nothing when it does not exist. */
export async function unlockContainer(path: string): Promise<void> {
  const fd = openDirectory(path);
  if (fd === undefined) return;
  try {
    await translated(path, () => makeAllWritable(fd));
  } finally {
    closeSync(fd);
  }
}

/** Throws SubvolumeError when a file of the container at `path` is in use; see `checkUnused`. */
export async function checkContainerUnused(path: string, trash: string): Promise<void> {
  await translated(path, () => checkUnused(path, trash));
}

/** Makes the read-only snapshot at `path` writable while `change` runs. */
export async function changeFrozen(path: string, change: (path: string) => Promise<void>): Promise<void> {
  await translated(path, () =>
    withDirectory(path, async (fd) => {
      await setSubvolumeReadOnly(fd, false);
      await change(path);
      await setSubvolumeReadOnly(fd, true);
    }),
  );
}

/** Creates a snapshot of work at `path`. */
export async function snapshotWork(path: string, work: { path: string; readOnly: boolean }): Promise<void> {
  await translated(path, () => snapshot(work.path, path, work.readOnly));
}

/** Origin of the subvolume of which `path` is a snapshot; undefined when that is not a snapshot or has been removed. */
export async function originBelow(path: string): Promise<SnapshotOrigin | undefined> {
  return translated(path, () =>
    withDirectory(path, (fd) => {
      const { parentUuid: uuid } = subvolumeInfo(fd);
      const origin = uuid === undefined ? undefined : subvolumeOrigin(fd, uuid);
      if (uuid === undefined || origin?.parentUuid === undefined) return undefined;
      return { uuid, parentUuid: origin.parentUuid, transaction: Number(origin.originTransaction) };
    }),
  );
}

/** Bytes written to the container at `path`, and to its nested subvolumes, since each was created; 0 when it does not exist. */
export async function writtenBytes(path: string): Promise<number> {
  const fd = openDirectory(path);
  if (fd === undefined) return 0;
  try {
    return await translated(path, async () => {
      let bytes = writtenSinceMade(fd);
      await forEachNested(fd, (inner) => {
        bytes += writtenSinceMade(inner);
      });
      return bytes;
    });
  } finally {
    closeSync(fd);
  }
}

function writtenSinceMade(fd: number): number {
  return bytesWrittenAfter(fd, lastForeignTransaction(fd));
}

/** Names finished work as a layer. An existing complete layer is kept; an incomplete one is replaced. */
export async function publish(paths: { work: string; unnamed: string; target: string; trash: string }): Promise<void> {
  await translated(paths.target, async () => {
    await withDirectory(dirname(paths.target), async (layers) => {
      const unnamed = basename(paths.unnamed);
      if (openable(paths.work)) renameAt(AT_FDCWD, paths.work, layers, unnamed, RENAME_NOREPLACE);
      await withDirectory(paths.unnamed, (fd) => setSubvolumeReadOnly(fd, true));
      for (;;) {
        try {
          renameAt(layers, unnamed, layers, basename(paths.target), RENAME_NOREPLACE);
          return;
        } catch (error) {
          if (!isErrno(error, 'EEXIST')) throw error;
        }
        await removeSubvolume(isCommitted(paths.target) ? paths.unnamed : paths.target, paths.trash);
        if (!openable(paths.unnamed)) return;
      }
    });
  });
}

/** Moves the subvolume at `path` to `trash` and deletes it with its nested subvolumes. Does nothing when it does not exist. */
export async function removeTree(path: string, trash: string): Promise<void> {
  await translated(path, () => removeSubvolume(path, trash));
}

/** Deletes a container's subvolume and its directory. */
export async function removeContainer(path: string, trash: string): Promise<void> {
  await removeTree(path, trash);
  await translated(path, () => rmdir(dirname(path))).catch((error: unknown) => {
    if (!isErrno((error as Error).cause, 'ENOENT')) throw error;
  });
}

/** Sorted chain IDs of the complete layers in `layers`. */
export async function listCommitted(layers: string): Promise<ChainId[]> {
  const names = await readdir(layers);
  return names
    .filter((name) => isDigest(chainIdOf(name)) && isCommitted(join(layers, name)))
    .sort()
    .map((name) => chainIdOf(name) as ChainId);
}

/**
 * Removes what dead processes left behind: trash, work, unnamed and incomplete layers, unwanted containers. Resolves
 * with one line for each one that could not be removed.
 */
export async function sweepStore(store: {
  readonly layers: string;
  readonly work: string;
  readonly containers: string;
  readonly trash: string;
  readonly isAlive: (key: string) => Promise<boolean>;
  readonly isContainer: ((id: string) => boolean | Promise<boolean>) | undefined;
}): Promise<string[]> {
  const stuck: string[] = [];
  const remove = async (path: string, how: typeof removeTree = removeTree): Promise<void> => {
    try {
      await how(path, store.trash);
    } catch (error) {
      if (!(error instanceof SubvolumeError || error instanceof SyscallError)) throw error;
      stuck.push(`cannot remove ${path}, which is no longer needed: ${error.message}`);
    }
  };
  for (const name of await readdir(store.trash)) await remove(join(store.trash, name));
  for (const name of await readdir(store.work)) if (!(await store.isAlive(name))) await remove(join(store.work, name));
  for (const name of await readdir(store.layers)) {
    const key = /^\.([0-9a-f]+)$/.exec(name)?.[1];
    const gone = /^\.gone-[0-9a-f]+$/.test(name);
    if (gone || (key !== undefined && !(await store.isAlive(key)))) await remove(join(store.layers, name));
  }
  if (store.isContainer === undefined) return stuck;
  for (const entry of await readdir(store.containers, { withFileTypes: true }))
    if (entry.isDirectory() && !(await store.isContainer(entry.name)))
      await remove(join(store.containers, entry.name, 'rootfs'), removeContainer);
  return stuck;
}

/** Writes all data of the store's file system to disk. */
export async function syncStore(root: string): Promise<void> {
  await translated(root, () => withDirectory(root, syncBtrfs));
}

function chainIdOf(name: string): string {
  return `${name.length === 128 ? 'sha512' : 'sha256'}:${name}`;
}

async function snapshot(source: string, target: string, readOnly: boolean): Promise<void> {
  await withDirectory(source, (from) =>
    withDirectory(dirname(target), (dir) => snapshotSubvolume(from, dir, basename(target), { readOnly })),
  );
}

function openDirectory(path: string): number | undefined {
  try {
    return openAt(AT_FDCWD, path, OPEN_DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

function openable(path: string): boolean {
  const fd = openDirectory(path);
  if (fd !== undefined) closeSync(fd);
  return fd !== undefined;
}

async function withDirectory<T>(path: string, use: (fd: number) => T | Promise<T>): Promise<T> {
  const fd = openAt(AT_FDCWD, path, OPEN_DIRECTORY);
  try {
    return await use(fd);
  } finally {
    closeSync(fd);
  }
}

/** Runs `act` and converts system call errors into errors of this room. */
async function translated<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (isErrno(error, 'ENOSPC', 'EDQUOT'))
      throw new DiskSpaceError(`the store's file system is full: ${(error as Error).message}`, {
        cause: error,
        hint: 'imgtool rmi IMAGE and imgtool rm CONTAINER free space',
      });
    if (isErrno(error, 'ETXTBSY'))
      throw new SubvolumeError(SWAP_IN_USE.message, { path, cause: error, hint: SWAP_IN_USE.hint });
    if (
      !isErrno(error, 'EPERM', 'EACCES', 'EEXIST', 'ENOTTY', 'EROFS', 'EBUSY', 'ENOENT', 'ENOTEMPTY', 'EINVAL', 'EIO')
    )
      throw error;
    throw new SubvolumeError((error as Error).message, {
      path,
      cause: error,
      hint:
        isErrno(error, 'EPERM', 'EACCES') && process.geteuid?.() !== 0
          ? 'the store requires root: run this as root'
          : undefined,
    });
  }
}
