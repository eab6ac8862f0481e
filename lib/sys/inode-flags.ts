import { ioctl } from './ioctl.js';

/** Inode flags as set by chattr(1) (linux/fs.h). The request numbers say `long`, but the kernel reads and writes an `int`. */

const GET_FLAGS = { name: 'FS_IOC_GETFLAGS', number: 0x80086601 };
const SET_FLAGS = { name: 'FS_IOC_SETFLAGS', number: 0x40086602 };

/** FS_NOCOW_FL: written in place, without checksums (`chattr +C`). */
export const NO_COPY_ON_WRITE = 0x0080_0000;
/** FS_VERITY_FL: sealed by fs-verity. */
export const VERITY = 0x0010_0000;

/** Flags of an open file or directory. Throws SyscallError. */
export function getInodeFlags(fd: number): number {
  const flags = Buffer.alloc(8);
  ioctl(fd, GET_FLAGS, flags);
  return flags.readUInt32LE();
}

/**
 * Sets the flags of an open file or directory. btrfs does not change `NO_COPY_ON_WRITE` of files with content. Throws
 * SyscallError.
 */
export function setInodeFlags(fd: number, flags: number): void {
  const argument = Buffer.alloc(8);
  argument.writeUInt32LE(flags);
  ioctl(fd, SET_FLAGS, argument);
}
