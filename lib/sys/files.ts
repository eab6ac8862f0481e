import { constants } from 'node:fs';
import { lastErrno, syscallError, type SysPath } from './errno.js';
import * as libc from './libc.js';

const { cString } = libc;

/** `dirfd` for paths relative to the process, and for absolute paths. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;
export const O_PATH = 0o10000000;
/** An unnamed file in the opened directory. It disappears with its last descriptor unless it is linked. */
export const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
export const AT_SYMLINK_FOLLOW = 0x400;
export const O_CLOEXEC = 0o2000000;
/** Symbolic links, `..` and absolute paths stay inside `dirfd` (openat2(2)). */
export const RESOLVE_IN_ROOT = 0x10;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
/** renameat2: fail with EEXIST instead of replacing. */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** The result of statx(2). Times are in nanoseconds since 1970, `device` is the number of a device node, `mode` includes type bits. */
export interface FileStat {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly devMajor: number;
  readonly devMinor: number;
}

const STATX_BASIC = 0x7ff;

/** Opens a path relative to `dir`, always close-on-exec. The caller closes the descriptor with `fs.closeSync`. */
export function openAt(dir: number, path: SysPath, flags: number, mode = 0): number {
  const fd = libc.openat(dir, cString(path), flags | O_CLOEXEC, mode);
  if (fd < 0) throw syscallError('openat', path);
  return fd;
}

const OPENAT2_ATTEMPTS = 1000;

/** openat2(2) with `resolve` flags. The caller closes the descriptor. */
export function openAt2(
  dir: number,
  path: SysPath,
  options: { flags: number; mode?: number; resolve: number },
): number {
  const how = new BigUint64Array([
    BigInt(options.flags | O_CLOEXEC),
    BigInt(options.mode ?? 0),
    BigInt(options.resolve),
  ]);
  for (let attempt = 1; ; attempt += 1) {
    const fd = libc.syscallOpenat2(libc.SYS_OPENAT2, dir, cString(path), new Uint8Array(how.buffer), 24);
    if (fd >= 0) return fd;
    const error = syscallError('openat2', path);
    // Any concurrent rename or mount on the machine can cause EAGAIN while the kernel resolves `..`.
    if (error.errno !== 'EAGAIN' || attempt >= OPENAT2_ATTEMPTS) throw error;
  }
}

export function mkdirAt(dir: number, path: SysPath, mode: number): void {
  if (libc.mkdirat(dir, cString(path), mode) < 0) throw syscallError('mkdirat', path);
}

/** Creates a fifo, device or (empty) file; `mode` includes type bits. */
export function mknodAt(dir: number, path: SysPath, mode: number, major = 0, minor = 0): void {
  if (libc.mknodat(dir, cString(path), mode, makeDevice(major, minor)) < 0) throw syscallError('mknodat', path);
}

export function symlinkAt(target: SysPath, dir: number, path: SysPath): void {
  if (libc.symlinkat(cString(target), dir, cString(path)) < 0) throw syscallError('symlinkat', path);
}

/** Target of a symbolic link, as bytes. */
export function readlinkAt(dir: number, path: SysPath): Buffer {
  const out = Buffer.allocUnsafe(4096);
  const length = libc.readlinkat(dir, cString(path), out, out.length);
  if (length < 0) throw syscallError('readlinkat', path);
  return Buffer.from(out.subarray(0, length));
}

/** Creates a hard link. For a symbolic link, links the link itself unless AT_SYMLINK_FOLLOW is set. */
export function linkAt(fromDir: number, from: SysPath, toDir: number, to: SysPath, flags = 0): void {
  if (libc.linkat(fromDir, cString(from), toDir, cString(to), flags) < 0) throw syscallError('linkat', to);
}

/** Removes a file, or an empty directory with AT_REMOVEDIR. */
export function unlinkAt(dir: number, path: SysPath, flags = 0): void {
  if (libc.unlinkat(dir, cString(path), flags) < 0) throw syscallError('unlinkat', path);
}

export function renameAt(fromDir: number, from: SysPath, toDir: number, to: SysPath, flags = 0): void {
  if (libc.renameat2(fromDir, cString(from), toDir, cString(to), flags) < 0) throw syscallError('renameat2', to);
}

/** Sets the owner. Does not follow symbolic links. */
export function chownAt(dir: number, path: SysPath, uid: number, gid: number): void {
  if (libc.fchownat(dir, cString(path), uid, gid, AT_SYMLINK_NOFOLLOW) < 0) throw syscallError('fchownat', path);
}

export function chownFd(fd: number, uid: number, gid: number): void {
  if (libc.fchown(fd, uid, gid) < 0) throw syscallError('fchown');
}

/** Sets permission bits. Must not be called for a symbolic link, which it would follow. */
export function chmodAt(dir: number, path: SysPath, mode: number): void {
  if (libc.fchmodat(dir, cString(path), mode, 0) < 0) throw syscallError('fchmodat', path);
}

export function chmodFd(fd: number, mode: number): void {
  if (libc.fchmod(fd, mode) < 0) throw syscallError('fchmod');
}

const times = new BigInt64Array(4);

/** Sets access and modification time to `mtimeNs` (nanoseconds, negative before 1970). Does not follow links. */
export function setTimesAt(dir: number, path: SysPath, mtimeNs: bigint): void {
  fillTimes(mtimeNs);
  if (libc.utimensat(dir, cString(path), times, AT_SYMLINK_NOFOLLOW) < 0) throw syscallError('utimensat', path);
}

export function setTimesFd(fd: number, mtimeNs: bigint): void {
  fillTimes(mtimeNs);
  if (libc.futimens(fd, times) < 0) throw syscallError('futimens');
}

function fillTimes(mtimeNs: bigint): void {
  let seconds = mtimeNs / 1_000_000_000n;
  let nanos = mtimeNs % 1_000_000_000n;
  if (nanos < 0n) {
    seconds -= 1n;
    nanos += 1_000_000_000n;
  }
  times[0] = times[2] = seconds;
  times[1] = times[3] = nanos;
}

const statBuffer = Buffer.alloc(256);

/** statx(2) without following a link in the last component. An empty `path` means the descriptor itself. */
export function statAt(dir: number, path: SysPath): FileStat {
  const stat = statAtIfThere(dir, path);
  if (stat === undefined) throw syscallError('statx', path);
  return stat;
}

/** Like `statAt`, but undefined for ENOENT and ENOTDIR, because creating errors is expensive where they are common. */
export function statAtIfThere(dir: number, path: SysPath): FileStat | undefined {
  const flags = AT_SYMLINK_NOFOLLOW | (path.length === 0 ? AT_EMPTY_PATH : 0);
  if (libc.statx(dir, cString(path), flags, STATX_BASIC, statBuffer) < 0) {
    const errno = lastErrno();
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw syscallError('statx', path, errno);
  }
  return {
    nlink: statBuffer.readUInt32LE(0x10),
    uid: statBuffer.readUInt32LE(0x14),
    gid: statBuffer.readUInt32LE(0x18),
    mode: statBuffer.readUInt16LE(0x1c),
    ino: statBuffer.readBigUInt64LE(0x20),
    size: statBuffer.readBigUInt64LE(0x28),
    ctimeNs: statBuffer.readBigInt64LE(0x60) * 1_000_000_000n + BigInt(statBuffer.readUInt32LE(0x68)),
    mtimeNs: statBuffer.readBigInt64LE(0x70) * 1_000_000_000n + BigInt(statBuffer.readUInt32LE(0x78)),
    rdevMajor: statBuffer.readUInt32LE(0x80),
    rdevMinor: statBuffer.readUInt32LE(0x84),
    devMajor: statBuffer.readUInt32LE(0x88),
    devMinor: statBuffer.readUInt32LE(0x8c),
  };
}

/** The path of a descriptor for calls that do not accept descriptors. Trusted, and never visible outside. */
export function fdPath(fd: number, name: SysPath = ''): Buffer {
  const head = Buffer.from(`/proc/self/fd/${fd}${name.length === 0 ? '' : '/'}`);
  return name.length === 0 ? head : Buffer.concat([head, typeof name === 'string' ? Buffer.from(name) : name]);
}

/** Flags for opening a directory as `dir` for the calls above. Refuses a link in the last component. */
export const OPEN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** glibc's makedev(3): 12 bits of major and 20 of minor beyond the traditional 8 + 8. */
function makeDevice(major: number, minor: number): bigint {
  const a = BigInt(major);
  const b = BigInt(minor);
  return ((a & 0xfffn) << 8n) | (b & 0xffn) | ((a & ~0xfffn) << 32n) | ((b & ~0xffn) << 12n);
}
