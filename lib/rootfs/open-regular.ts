import { closeSync, constants, openSync } from 'node:fs';
import { SyscallError } from '../errors.js';
import { displayPath, fdPath, O_PATH, openAt, statAt, type FileStat } from '../sys/index.js';
import { inodeKey } from './same-inode.js';

const { S_IFMT, S_IFREG, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** Something in an open directory. */
export interface TreeEntry {
  readonly dir: number;
  readonly name: Uint8Array;
}

/**
 * Opens for reading a regular file that was looked at; nothing else is ever opened, since opening a device or fifo has
 * effects. The caller closes it. Throws SyscallError, ESTALE when something else has its name by now.
 */
export function openRegular({ dir, name }: TreeEntry, seen: FileStat): number {
  const fd = openAt(dir, name, O_PATH | O_NOFOLLOW);
  try {
    const stat = statAt(fd, '');
    if (inodeKey(stat) !== inodeKey(seen) || (stat.mode & S_IFMT) !== S_IFREG)
      throw new SyscallError(`${displayPath(name)} was replaced while it was being read`, {
        errno: 'ESTALE',
        syscall: 'openat',
      });
    return openSync(fdPath(fd), O_RDONLY | O_NONBLOCK);
  } finally {
    closeSync(fd);
  }
}
