import { closeSync, constants, openSync } from 'node:fs';
import { SyscallError } from '../errors.js';
import { displayPath, fdPath, O_PATH, openAt, statAt, type FileStat } from '../sys/index.js';
import { inodeKey } from './same-inode.js';

const { S_IFMT, S_IFREG, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** A name in an open directory. */
export interface TreeEntry {
  readonly dir: number;
  readonly name: Uint8Array;
}

/**
 * Opens a regular file with status `seen` for reading. Never opens anything else, because opening a device or fifo has
 * side effects. The caller closes it. Throws SyscallError, with ESTALE when the file was replaced.
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
