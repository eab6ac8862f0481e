import { randomBytes } from 'node:crypto';
import { closeSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { SubvolumeError, SyscallError } from '../errors.js';
import { AT_FDCWD, isErrno, OPEN_DIRECTORY, openAt, snapshotSubvolume } from '../sys/index.js';
import { forEachNested } from './nested.js';
import { removeSubvolume } from './remove-subvolume.js';

/** What to say of swap files: neither a snapshot nor a removal is possible while one is in use. */
export const SWAP_IN_USE = {
  message: 'a file in it is in use as swap space',
  hint: 'turn it off first: find it with swapon --show, then run swapoff FILE',
} as const;

/**
 * Throws SubvolumeError when the subvolume at `path` cannot go, or others would lose what they use: a file in it, or in a
 * subvolume inside, is swap space or the disk of a loop device. Nothing is changed. `trash`: a directory on its file system.
 */
export async function checkUnused(path: string, trash: string): Promise<void> {
  const loop = loopInside(path);
  if (loop !== undefined)
    throw new SubvolumeError(`${loop.device} uses a file in it: ${loop.file}`, {
      path,
      hint: `unmount what is on ${loop.device}, then: losetup -d ${loop.device}`,
    });
  if (hasSwapFiles() && (await isSwap(path, trash)))
    throw new SubvolumeError(SWAP_IN_USE.message, { path, hint: SWAP_IN_USE.hint });
}

function loopInside(path: string): { readonly device: string; readonly file: string } | undefined {
  let inside: string;
  try {
    inside = `${realpathSync(path)}/`;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  for (const name of blockDevices()) {
    if (!name.startsWith('loop')) continue;
    const file = readIfThere(join('/sys/block', name, 'loop/backing_file')).replace(/\n$/, '');
    if (file.startsWith(inside)) return { device: `/dev/${name}`, file };
  }
  return undefined;
}

/** None where /sys is not mounted, as in a plain chroot. */
function blockDevices(): string[] {
  try {
    return readdirSync('/sys/block');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function hasSwapFiles(): boolean {
  return readIfThere('/proc/swaps')
    .split('\n')
    .some((line) => /\sfile\s/.test(line));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // A loop device that nothing is attached to has no such file; it may be detached while it is read.
    if (isErrno(error, 'ENOENT', 'ENXIO', 'ENODEV', 'EINVAL')) return '';
    throw error;
  }
}

/** The names in /proc/swaps mean something in the mounts of the process that turned it on: only btrfs knows. */
async function isSwap(path: string, trash: string): Promise<boolean> {
  const opened: number[] = [];
  const open = (fd: number): number => opened[opened.push(fd) - 1]!;
  try {
    const top = open(openAt(AT_FDCWD, path, OPEN_DIRECTORY));
    const aside = open(openAt(AT_FDCWD, trash, OPEN_DIRECTORY));
    const tryOne = async (fd: number): Promise<void> => {
      const name = randomBytes(16).toString('hex');
      await snapshotSubvolume(fd, aside, name, { readOnly: false });
      await removeSubvolume(join(trash, name), trash);
    };
    await tryOne(top);
    await forEachNested(top, tryOne);
    return false;
  } catch (error) {
    // A full disk has no room for a snapshot, and must not keep a container from being removed.
    if (error instanceof SyscallError) return error.errno === 'ETXTBSY';
    throw error;
  } finally {
    opened.forEach((fd) => closeSync(fd));
  }
}
