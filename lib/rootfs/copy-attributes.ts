import { closeSync, constants } from 'node:fs';
import {
  AT_FDCWD,
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  fdPath,
  isErrno,
  listXattrs,
  O_PATH,
  openAt,
  removeXattr,
  setTimesAt,
  setTimesFd,
  setXattr,
  type FileStat,
} from '../sys/index.js';
import { fromByteString, toByteString } from './byte-path.js';
import type { Metadata } from './read-metadata.js';

/** The attributes to copy: metadata read from a file or created by the caller. */
export interface AttributeSource extends Pick<Metadata, 'type' | 'xattrs'> {
  readonly stat: Pick<FileStat, 'mode' | 'uid' | 'gid' | 'mtimeNs'>;
}

/** Receives each attribute that the file system refuses. */
export type OnRefused = (attribute: string) => void;

const MODE_BITS = 0o7777;

/**
 * Gives the open file `name` in `dir`, which has just been written, the owner, mode, attributes and times of `from`.
 * Throws SyscallError.
 */
export function setFileAttributes(
  { fd, dir, name }: { readonly fd: number; readonly dir: number; readonly name: Uint8Array },
  from: AttributeSource,
  onRefused: OnRefused,
): void {
  chownFd(fd, from.stat.uid, from.stat.gid);
  chmodFd(fd, from.stat.mode & MODE_BITS);
  copyXattrs(fdPath(dir, name), from, onRefused);
  setTimesFd(fd, from.stat.mtimeNs);
}

/** Like `setFileAttributes`, for an open directory whose entries have been created. Throws SyscallError. */
export function setDirectoryAttributes(fd: number, from: AttributeSource, onRefused: OnRefused): void {
  chownFd(fd, from.stat.uid, from.stat.gid);
  chmodFd(fd, from.stat.mode & MODE_BITS);
  copyXattrs(fdPath(fd, '.'), from, onRefused);
  setTimesFd(fd, from.stat.mtimeNs);
}

/** Like `setFileAttributes`, for files that cannot safely be opened: links, devices, fifos. Follows no link. Throws SyscallError. */
export function setSpecialAttributes(dir: number, name: Uint8Array, from: AttributeSource, onRefused: OnRefused): void {
  chownAt(dir, name, from.stat.uid, from.stat.gid);
  if (from.type !== 'symlink') {
    // Uses a descriptor, because fchmodat would follow a link that has taken the name meanwhile.
    const fd = openAt(dir, name, O_PATH | constants.O_NOFOLLOW);
    try {
      chmodAt(AT_FDCWD, fdPath(fd), from.stat.mode & MODE_BITS);
    } finally {
      closeSync(fd);
    }
  }
  copyXattrs(fdPath(dir, name), from, onRefused);
  setTimesAt(dir, name, from.stat.mtimeNs);
}

/** File systems answer ENOSPC to a value that is larger than their limit. Bytes. */
const LARGE_VALUE_BYTES = 3800;

/** True when `error` means that the kernel or the file system cannot store the attribute. */
export function isRefusedXattr(error: unknown, value: Uint8Array): boolean {
  if (isErrno(error, 'ENOSPC')) return value.length > LARGE_VALUE_BYTES;
  return isErrno(error, 'ENOTSUP', 'EPERM', 'EINVAL', 'E2BIG', 'ERANGE');
}

function copyXattrs(path: Buffer, { xattrs }: AttributeSource, onRefused: OnRefused): void {
  for (const inherited of listXattrs(path)) {
    const key = toByteString(inherited);
    // A new file inherits the default ACL of its directory, which the original may lack.
    if (key.startsWith('system.posix_acl_') && !xattrs.has(key)) removeXattr(path, inherited);
  }
  for (const [key, value] of xattrs)
    try {
      setXattr(path, fromByteString(key), value);
    } catch (error) {
      if (!isRefusedXattr(error, value)) throw error;
      onRefused(key);
    }
}
