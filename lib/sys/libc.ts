import koffi from 'koffi';

/**
 * The raw C functions. Paths are NUL-terminated buffers (`cString`); results and errno are those of C. Synchronous, for
 * worker threads. The other files of this room wrap them with typed errors.
 */
const libc = koffi.load('libc.so.6');

const declare = <F>(prototype: string): F => libc.func(prototype) as unknown as F;

type Fd = number;
type CString = Uint8Array;
type Int = number;

export const openat = declare<(dir: Fd, path: CString, flags: Int, mode: Int) => Fd>(
  'int openat(int, const uint8_t *, int, uint32_t)',
);
/** openat2 has no wrapper in glibc; its number is the same on every architecture. */
export const syscallOpenat2 = declare<(number: Int, dir: Fd, path: CString, how: Uint8Array, size: Int) => Fd>(
  'intptr_t syscall(intptr_t, int, const uint8_t *, const uint8_t *, size_t)',
);
export const SYS_OPENAT2 = 437;
export const mkdirat = declare<(dir: Fd, path: CString, mode: Int) => Int>(
  'int mkdirat(int, const uint8_t *, uint32_t)',
);
export const mknodat = declare<(dir: Fd, path: CString, mode: Int, device: bigint) => Int>(
  'int mknodat(int, const uint8_t *, uint32_t, uint64_t)',
);
export const symlinkat = declare<(target: CString, dir: Fd, path: CString) => Int>(
  'int symlinkat(const uint8_t *, int, const uint8_t *)',
);
export const readlinkat = declare<(dir: Fd, path: CString, out: Uint8Array, size: Int) => Int>(
  'intptr_t readlinkat(int, const uint8_t *, _Out_ uint8_t *, size_t)',
);
export const linkat = declare<(fromDir: Fd, from: CString, toDir: Fd, to: CString, flags: Int) => Int>(
  'int linkat(int, const uint8_t *, int, const uint8_t *, int)',
);
export const unlinkat = declare<(dir: Fd, path: CString, flags: Int) => Int>('int unlinkat(int, const uint8_t *, int)');
export const renameat2 = declare<(fromDir: Fd, from: CString, toDir: Fd, to: CString, flags: Int) => Int>(
  'int renameat2(int, const uint8_t *, int, const uint8_t *, uint32_t)',
);
export const fchownat = declare<(dir: Fd, path: CString, uid: Int, gid: Int, flags: Int) => Int>(
  'int fchownat(int, const uint8_t *, uint32_t, uint32_t, int)',
);
export const fchown = declare<(fd: Fd, uid: Int, gid: Int) => Int>('int fchown(int, uint32_t, uint32_t)');
export const fchmodat = declare<(dir: Fd, path: CString, mode: Int, flags: Int) => Int>(
  'int fchmodat(int, const uint8_t *, uint32_t, int)',
);
export const fchmod = declare<(fd: Fd, mode: Int) => Int>('int fchmod(int, uint32_t)');
export const utimensat = declare<(dir: Fd, path: CString, times: BigInt64Array, flags: Int) => Int>(
  'int utimensat(int, const uint8_t *, const int64_t *, int)',
);
export const futimens = declare<(fd: Fd, times: BigInt64Array) => Int>('int futimens(int, const int64_t *)');
export const statx = declare<(dir: Fd, path: CString, flags: Int, mask: Int, out: Uint8Array) => Int>(
  'int statx(int, const uint8_t *, int, uint32_t, _Out_ uint8_t *)',
);
export const lsetxattr = declare<(path: CString, name: CString, value: Uint8Array, size: Int, flags: Int) => Int>(
  'int lsetxattr(const uint8_t *, const uint8_t *, const uint8_t *, size_t, int)',
);
export const fsetxattr = declare<(fd: Fd, name: CString, value: Uint8Array, size: Int, flags: Int) => Int>(
  'int fsetxattr(int, const uint8_t *, const uint8_t *, size_t, int)',
);
export const lgetxattr = declare<(path: CString, name: CString, out: Uint8Array, size: Int) => Int>(
  'intptr_t lgetxattr(const uint8_t *, const uint8_t *, _Out_ uint8_t *, size_t)',
);
export const llistxattr = declare<(path: CString, out: Uint8Array, size: Int) => Int>(
  'intptr_t llistxattr(const uint8_t *, _Out_ uint8_t *, size_t)',
);
export const lremovexattr = declare<(path: CString, name: CString) => Int>(
  'int lremovexattr(const uint8_t *, const uint8_t *)',
);
export const flock = declare<(fd: Fd, operation: Int) => Int>('int flock(int, int)');
type Ioctl = (fd: Fd, request: number | bigint, argument: Uint8Array | null) => Int;
export const ioctl = declare<
  Ioctl & { async: (...call: [...Parameters<Ioctl>, (error: Error | null, result: Int) => void]) => void }
>('int ioctl(int, uintptr_t, _Inout_ uint8_t *)');
export const memfd_create = declare<(name: CString, flags: Int) => Fd>('int memfd_create(const uint8_t *, uint32_t)');
type Mount = (source: CString, target: CString, type: CString, flags: bigint, data: CString) => Int;
export const mount = declare<
  Mount & { async: (...call: [...Parameters<Mount>, (error: Error | null, result: Int) => void]) => void }
>('int mount(const uint8_t *, const uint8_t *, const uint8_t *, uint64_t, const uint8_t *)');
type Umount = (target: CString, flags: Int) => Int;
export const umount2 = declare<
  Umount & { async: (...call: [...Parameters<Umount>, (error: Error | null, result: Int) => void]) => void }
>('int umount2(const uint8_t *, int)');

/** `path` with a terminating NUL. Throws TypeError for a NUL inside, which is a bug, because names are validated earlier. */
export function cString(path: string | Uint8Array): Buffer {
  const length = typeof path === 'string' ? Buffer.byteLength(path) : path.byteLength;
  const out = Buffer.allocUnsafe(length + 1);
  if (typeof path === 'string') out.write(path, 0);
  else out.set(path, 0);
  out[length] = 0;
  if (out.indexOf(0) !== length) throw new TypeError('a path or name contains a NUL byte');
  return out;
}

/** Address of the memory behind `array`, for structures with pointers. The caller keeps `array` alive while it is in use. */
export function addressOf(array: NodeJS.ArrayBufferView): bigint {
  return koffi.address(array);
}
