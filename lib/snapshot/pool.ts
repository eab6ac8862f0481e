import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, open, realpath, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError, StoreError } from '../errors.js';
import {
  AT_FDCWD,
  OPEN_DIRECTORY,
  SUBVOLUME_ROOT_INODE,
  attachLoop,
  createSubvolume,
  findLoop,
  isErrno,
  mountFilesystem,
  mountPoints,
  openAt,
  statAt,
  tryFlock,
  type LoopDevice,
} from '../sys/index.js';
import { makeDirectory, runProcess, syncDirectory, writeFileAtomic } from '../util/index.js';
import { checkOwner, checkOwnerOf } from './check-owner.js';
import { findPoolBacking, poolFileOf, poolMarkerOf } from './pool-file.js';
import type { OpenStoreOptions, PoolBacking } from './types.js';

/** The least and the greatest default size of a pool: ext4 has no larger files. Bytes. */
const [LEAST_SIZE, GREATEST_SIZE] = [64 * 2 ** 30, 2 ** 44 - 4096];
const LOCK_POLL_MS = 20;
/** A longer wait for a lock is reported. Milliseconds. */
const SILENT_MS = 1000;

/**
 * Runs `act` while no other process creates, mounts or unmounts the store at `root`. Calls `onNote` when that takes
 * long. Throws StoreError when the lock does not belong to root, AbortError, and the errors of `act`.
 */
export async function withPoolLock<T>(
  { root, onNote, signal }: { readonly root: string } & Pick<OpenStoreOptions, 'onNote' | 'signal'>,
  act: () => Promise<T>,
): Promise<T> {
  const path = `${poolFileOf(root)}.lock`;
  checkOwner(path);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw new StoreError(`${path} cannot be opened: ${(error as NodeJS.ErrnoException).code}`, {
      path,
      cause: error,
      hint: 'choose another place with --root',
    });
  }
  try {
    checkOwnerOf(fstatSync(fd), path);
    const waitsSince = performance.now();
    let isTold = false;
    while (!tryFlock(fd, 'exclusive')) {
      if (!isTold && performance.now() - waitsSince >= SILENT_MS) {
        isTold = true;
        onNote?.(`waiting for another process that holds the lock ${path}`);
      }
      await sleep(LOCK_POLL_MS, undefined, { signal });
    }
    return await act();
  } finally {
    closeSync(fd);
  }
}

/** Creates `root`, which is empty or absent, as a subvolume with mode 0700 on the btrfs that contains it. */
export async function makeSubvolumeRoot(root: string): Promise<void> {
  try {
    const parent = openAt(AT_FDCWD, dirname(root), OPEN_DIRECTORY);
    try {
      if (!isSubvolumeRoot(parent, basename(root))) {
        await rmdir(root).catch((error: unknown) => {
          if (!isErrno(error, 'ENOENT')) throw error;
        });
        await createSubvolume(parent, basename(root));
      }
    } finally {
      closeSync(parent);
    }
    await chmod(root, 0o700);
  } catch (error) {
    throw new StoreError(`cannot create the store at ${root}: ${(error as Error).message}`, {
      path: root,
      cause: error,
    });
  }
}

function isSubvolumeRoot(parent: number, name: string): boolean {
  try {
    return statAt(parent, name).ino === SUBVOLUME_ROOT_INODE;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Creates the pool of `root`: a formatted sparse file beside it, complete before it gets its name, or a device. */
export async function makePool(root: string, options: OpenStoreOptions): Promise<void> {
  makeDirectory(root);
  await chmod(root, 0o700);
  if (options.device !== undefined) {
    await format(root, options.device);
    await writeFileAtomic(poolMarkerOf(root), `${JSON.stringify({ device: options.device })}\n`);
    return;
  }
  const file = poolFileOf(root);
  const temporary = `${file}.new`;
  const { bavail, bsize } = await statfs(dirname(root));
  // A file left by a crash is worthless, and the lock ensures that no other process uses it.
  await rm(temporary, { force: true });
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.truncate(options.size ?? defaultPoolSize(bavail * bsize));
      await format(root, temporary);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof StoreError) throw error;
    throw new StoreError(`cannot create the pool ${file}: ${(error as Error).message}`, { path: file, cause: error });
  }
}

/** The virtual size of a pool on a disk with `free` bytes. Bytes. */
export function defaultPoolSize(free: number): number {
  return Math.min(GREATEST_SIZE, Math.max(LEAST_SIZE, free));
}

async function format(root: string, target: string): Promise<void> {
  try {
    // A single copy of the metadata: a second copy in the same file would protect nothing and double the writes of a commit.
    await runProcess(['mkfs.btrfs', '--quiet', '--label', 'imgtool', '--metadata', 'single', target]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new StoreError(`cannot create the pool of ${root}: ${error.message}`, {
      path: target,
      cause: error,
      hint: error.exitCode === undefined ? 'install btrfs-progs: apt-get install btrfs-progs' : undefined,
    });
  }
}

/** Mounts the pool of `root` unless it is mounted, and reports it. */
export async function mountPool(root: string, onNote?: (line: string) => void): Promise<PoolBacking> {
  const backing = (await findPoolBacking(root))!;
  makeDirectory(root);
  if (await isMounted(root)) return backing;
  // Written last, because a marker without its file would mean a lost pool.
  await writeFileAtomic(poolMarkerOf(root), `${JSON.stringify(backing)}\n`);
  if ('device' in backing) await mountDevice(root, backing.device);
  else await mountFile(root, backing.file);
  await chmod(root, 0o700);
  const what = 'device' in backing ? backing.device : backing.file;
  onNote?.(`the store's embedded btrfs pool ${what} is mounted on ${root}`);
  return backing;
}

async function mountFile(root: string, file: string): Promise<void> {
  checkOwner(file);
  const fd = openSync(file, constants.O_RDWR | constants.O_NOFOLLOW);
  let loop: LoopDevice;
  try {
    checkOwnerOf(fstatSync(fd), file);
    // It may be attached in another mount namespace, and two loop devices for one file would destroy it.
    loop = findLoop(fd) ?? attach(fd);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError(`no loop device is available for ${file}: ${(error as Error).message}`, {
      path: file,
      cause: error,
      hint: 'run modprobe loop; in a container, run privileged or choose a --root on btrfs',
    });
  } finally {
    closeSync(fd);
  }
  try {
    await mountDevice(root, loop.path);
  } finally {
    closeSync(loop.fd);
  }
}

/** Direct I/O halves memory use and copying, but some file systems do not support it. */
function attach(fd: number): LoopDevice {
  try {
    return attachLoop(fd, { directIo: true });
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP')) throw error;
    return attachLoop(fd, { directIo: false });
  }
}

async function mountDevice(root: string, device: string): Promise<void> {
  try {
    await mountFilesystem({ device, target: root, type: 'btrfs', data: 'discard=async' });
  } catch (error) {
    if (isErrno(error, 'ENODEV'))
      throw new StoreError('this kernel has no btrfs', { path: root, cause: error, hint: 'modprobe btrfs' });
    throw new StoreError(`the pool ${device} cannot be mounted on ${root}: ${(error as Error).message}`, {
      path: root,
      cause: error,
      hint: isErrno(error, 'EPERM', 'EACCES')
        ? 'mounting requires CAP_SYS_ADMIN: run as root; a container must be privileged'
        : isErrno(error, 'EINVAL')
          ? 'it contains no btrfs, or the btrfs is damaged'
          : undefined,
    });
  }
}

async function isMounted(root: string): Promise<boolean> {
  const path = await realpath(root).catch(() => undefined);
  return path !== undefined && mountPoints().some((target) => target.equals(Buffer.from(path)));
}
