import { getXattr, isErrno, setXattrFd } from '../sys/index.js';

const SIZE_ATTRIBUTE = 'user.imgtool.size';

/**
 * Notes on an open blob how many bytes it must have. Blobs are published without fsync: after a power loss the file system
 * may know the name but not all bytes. btrfs writes an extent before the size that covers it, so a blob hurt that way is
 * too short, and this record, which belongs to the same or an earlier transaction than the name, gives it away.
 * File systems without user attributes have no record; there the digest check of every read is what remains.
 */
export function recordSize(fd: number, size: number): void {
  try {
    setXattrFd(fd, SIZE_ATTRIBUTE, Buffer.from(String(size)));
  } catch (error) {
    if (!isErrno(error, 'ENOTSUP', 'EPERM', 'ENOSYS')) throw error;
  }
}

/** The size a published blob must have, or undefined where none is recorded. Bytes. */
export function recordedSize(path: string): number | undefined {
  const value = getXattrOrNone(path)?.toString('latin1') ?? '';
  return /^\d{1,16}$/.test(value) ? Number(value) : undefined;
}

function getXattrOrNone(path: string): Buffer | undefined {
  try {
    return getXattr(path, SIZE_ATTRIBUTE);
  } catch (error) {
    if (isErrno(error, 'ENOTSUP', 'ENOENT')) return undefined;
    throw error;
  }
}
