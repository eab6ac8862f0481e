import { readFileSync } from 'node:fs';
import { settle } from './ioctl.js';
import * as libc from './libc.js';

const MS_NODEV = 4n;
const MS_NOATIME = 1024n;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * Mounts the file system of `device` on `target` with noatime and nodev. `data`: comma-separated options of the file
 * system. Throws SyscallError.
 */
export async function mountFilesystem(options: {
  readonly device: string;
  readonly target: string;
  readonly type: string;
  readonly data: string;
}): Promise<void> {
  const [device, target, type, data] = [options.device, options.target, options.type, options.data].map(libc.cString);
  await settle(
    'mount',
    (done) => libc.mount.async(device!, target!, type!, MS_NOATIME | MS_NODEV, data!, done),
    options.target,
  );
}

/**
 * Removes the mount on `target` from the tree immediately; the file system is unmounted after its last use. Throws
 * SyscallError: EINVAL when nothing is mounted there.
 */
export async function detachMount(target: Uint8Array): Promise<void> {
  const path = libc.cString(target);
  await settle('umount2', (done) => libc.umount2.async(path, UMOUNT_NOFOLLOW | MNT_DETACH, done), target);
}

/** Mount points of this process's namespace as bytes, in mounting order (proc_pid_mountinfo(5)). */
export function mountPoints(): Buffer[] {
  return mountTable().map(({ path }) => path);
}

/** True when the file system mounted on `path` is read-only, because of its mount or after an error. */
export function isMountedReadOnly(path: string): boolean {
  const mount = mountTable().findLast((entry) => entry.path.equals(Buffer.from(path)));
  return mount?.options.includes('ro') ?? false;
}

function mountTable(): { readonly path: Buffer; readonly options: readonly string[] }[] {
  const table = readFileSync('/proc/self/mountinfo').toString('latin1');
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      // The kernel writes blanks, newlines and backslashes as \ooo.
      const path = fields[4]!.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
      const options = `${fields[5]},${fields.at(-1)}`.split(',');
      return { path: Buffer.from(path, 'latin1'), options };
    });
}
