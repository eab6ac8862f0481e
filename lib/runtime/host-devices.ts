import { constants, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A device node of the runtime specification (runtime-spec config-linux.md, "Devices"). */
interface SpecDevice {
  readonly path: string;
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Parts of /dev that each container has for itself. */
const NOT_SHARED = ['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/fd', '/dev/console', '/dev/.lxc', '/dev/.udev'];

/** The device nodes of this machine for a privileged container. Skips unreadable directories. */
export function hostDevices(directory = '/dev'): SpecDevice[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (NOT_SHARED.includes(path)) return [];
    try {
      if (entry.isDirectory()) return hostDevices(path);
      return entry.isBlockDevice() || entry.isCharacterDevice() ? [deviceAt(path)] : [];
    } catch {
      return [];
    }
  });
}

function deviceAt(path: string): SpecDevice {
  const { rdev, mode, uid, gid } = statSync(path);
  return {
    path,
    type: (mode & constants.S_IFMT) === constants.S_IFBLK ? 'b' : 'c',
    // Same as makedev(3) of the C library.
    major: ((rdev >>> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff),
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    fileMode: mode & 0o7777,
    uid,
    gid,
  };
}
