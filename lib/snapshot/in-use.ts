import { randomBytes } from 'node:crypto';
import { closeSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { SubvolumeError, SyscallError } from '../errors.js';
import { AT_FDCWD, isErrno, OPEN_DIRECTORY, openAt, snapshotSubvolume } from '../sys/index.js';
import { forEachNested } from './nested.js';
import { removeSubvolume } from './remove-subvolume.js';

/** The message about swap files, which prevent both snapshots and removal while in use. */
export const SWAP_IN_USE = {
  message: 'a file in it is in use as swap space',
  hint: 'turn it off first: find it with swapon --show, then run swapoff FILE',
} as const;

/**
 * Throws SubvolumeError when a file in the subvolume at `path`, or in a nested one, is in use as swap space or by a
 * loop device. Changes nothing. `trash`: a directory on the same file system.
 */
export async function checkUnused(path: string, trash: string): Promise<void> {
  const loop = loopInside(path);
  if (loop !== undefined)
    throw new SubvolumeError(`${loop.device} uses the file ${loop.file}`, {
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

/** Empty when /sys is not mounted, as in a plain chroot. */
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
    // An unused loop device lacks this file, and a device may be detached at any time.
    if (isErrno(error, 'ENOENT', 'ENXIO', 'ENODEV', 'EINVAL')) return '';
    throw error;
  }
}

/** Paths in /proc/swaps are relative to the mounts of the process that enabled the swap space, so only btrfs knows. */
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
    // A full disk has no space for a snapshot, but must not prevent the removal of a container.
    if (error instanceof SyscallError) return error.errno === 'ETXTBSY';
    throw error;
  } finally {
    opened.forEach((fd) => closeSync(fd));
  }
}
