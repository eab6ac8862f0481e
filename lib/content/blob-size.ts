import { getXattr, isErrno, setXattrFd } from '../sys/index.js';

const SIZE_ATTRIBUTE = 'user.imgtool.size';

/**
 * Records the size of an open blob in an attribute. Blobs are published without fsync: after a power loss the file
 * system may have the name but not all bytes. btrfs writes an extent before the size that covers it, so such a blob is
 * too short, and this record, which belongs to the same or an earlier transaction than the name, reveals it. File
 * systems without user attributes have no record; there only the digest check of every read remains.
 */
export function recordSize(fd: number, size: number): void {
  try {
    setXattrFd(fd, SIZE_ATTRIBUTE, Buffer.from(String(size)));
  } catch (error) {
    if (!isErrno(error, 'ENOTSUP', 'EPERM', 'ENOSYS')) throw error;
  }
}

/** The recorded size in bytes of a published blob, or undefined. */
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
