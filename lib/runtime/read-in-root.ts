import { closeSync, constants, readSync } from 'node:fs';
import { ContainerStartError, UsageError } from '../errors.js';
import { openRegular, resolveInRoot } from '../rootfs/index.js';
import { AT_FDCWD, isErrno, openAt, OPEN_DIRECTORY } from '../sys/index.js';

const { S_IFMT, S_IFREG } = constants;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * The text of a file in `root`, with links resolved inside it; undefined when it is not a regular file. Throws
 * UsageError for more than 4 MiB, SyscallError.
 */
export function readInRoot(root: string, path: string): string | undefined {
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const found = resolveInRoot(rootFd, Buffer.from(path));
    try {
      if (found.stat === undefined || (found.stat.mode & S_IFMT) !== S_IFREG) return undefined;
      if (found.stat.size > MAX_BYTES) throw new UsageError(`${path} in the container is too large`);
      return readAll(openRegular(found, found.stat));
    } finally {
      closeSync(found.dir);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  } finally {
    closeSync(rootFd);
  }
}

/**
 * Refuses a file that runtimes read and that is not a regular file, because reading it might never end. Throws
 * ContainerStartError, SyscallError.
 */
export function checkRegular(root: string, path: string): void {
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const { dir, stat } = resolveInRoot(rootFd, Buffer.from(path));
    closeSync(dir);
    if (stat === undefined || (stat.mode & S_IFMT) === S_IFREG) return;
    throw new ContainerStartError(`${path} in the container is not a regular file`, { hint: 'replace or remove it' });
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
  } finally {
    closeSync(rootFd);
  }
}

/** Reads up to the limit, even if the file grows meanwhile, and closes it. */
function readAll(fd: number): string {
  try {
    const bytes = Buffer.alloc(MAX_BYTES);
    let length = 0;
    for (;;) {
      const read = readSync(fd, bytes, length, MAX_BYTES - length, length);
      if (read === 0) return bytes.toString('utf8', 0, length);
      length += read;
    }
  } finally {
    closeSync(fd);
  }
}
