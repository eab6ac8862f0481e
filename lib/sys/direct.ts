import koffi from 'koffi';

/**
 * System calls that take memory addresses (`addressOf`) instead of buffers, for loops in which a conversion per call
 * would be too slow. Raw: they return -1 and set `koffi.errno()` on failure. Paths are NUL-terminated, in memory that
 * the caller keeps alive.
 */
const libc = koffi.load('libc.so.6');

const declare = <F>(prototype: string): F => libc.func(prototype) as unknown as F;

type Fd = number;
type Address = number;

export const directOpenAt = declare<(dir: Fd, path: Address, flags: number, mode: number) => Fd>(
  'int openat(int, uintptr_t, int, uint32_t)',
);
export const directClose = declare<(fd: Fd) => number>('int close(int)');
export const directWrite = declare<(fd: Fd, data: Address, size: number) => number>(
  'intptr_t write(int, uintptr_t, size_t)',
);
export const directPwrite = declare<(fd: Fd, data: Address, size: number, offset: number) => number>(
  'intptr_t pwrite(int, uintptr_t, size_t, int64_t)',
);
export const directFtruncate = declare<(fd: Fd, size: number) => number>('int ftruncate(int, int64_t)');
export const directMkdirAt = declare<(dir: Fd, path: Address, mode: number) => number>(
  'int mkdirat(int, uintptr_t, uint32_t)',
);
export const directMknodAt = declare<(dir: Fd, path: Address, mode: number, device: bigint | number) => number>(
  'int mknodat(int, uintptr_t, uint32_t, uint64_t)',
);
export const directSymlinkAt = declare<(target: Address, dir: Fd, path: Address) => number>(
  'int symlinkat(uintptr_t, int, uintptr_t)',
);
export const directLinkAt = declare<(fromDir: Fd, from: Address, toDir: Fd, to: Address, flags: number) => number>(
  'int linkat(int, uintptr_t, int, uintptr_t, int)',
);
export const directChownAt = declare<(dir: Fd, path: Address, uid: number, gid: number, flags: number) => number>(
  'int fchownat(int, uintptr_t, uint32_t, uint32_t, int)',
);
export const directChmod = declare<(fd: Fd, mode: number) => number>('int fchmod(int, uint32_t)');
export const directChown = declare<(fd: Fd, uid: number, gid: number) => number>('int fchown(int, uint32_t, uint32_t)');
/** `times` points to two `struct timespec`: access and modification. */
export const directSetFileTimes = declare<(fd: Fd, times: Address) => number>('int futimens(int, uintptr_t)');
export const directSetTimes = declare<(dir: Fd, path: Address, times: Address, flags: number) => number>(
  'int utimensat(int, uintptr_t, uintptr_t, int)',
);
export const directStatx = declare<(dir: Fd, path: Address, flags: number, mask: number, out: Address) => number>(
  'int statx(int, uintptr_t, int, uint32_t, uintptr_t)',
);
/** With `out` 0 and `size` 0, returns only the length. */
export const directGetXattr = declare<(fd: Fd, name: Address, out: Address, size: number) => number>(
  'intptr_t fgetxattr(int, uintptr_t, uintptr_t, size_t)',
);
export const directRemoveXattr = declare<(fd: Fd, name: Address) => number>('int fremovexattr(int, uintptr_t)');
const unshare = declare<(flags: number) => number>('int unshare(int)');
const umask = declare<(mask: number) => number>('uint32_t umask(uint32_t)');

const CLONE_FS = 0x200;

/**
 * Gives the calling thread its own umask of 0, so that modes at creation are exact; other threads keep theirs. Returns
 * false where the kernel forbids it; modes must then be set afterwards.
 */
export function dropThreadUmask(): boolean {
  if (unshare(CLONE_FS) < 0) return false;
  umask(0);
  return true;
}
