import { isErrno, syscallError, type SysPath } from './errno.js';
import * as libc from './libc.js';

const { cString } = libc;
const NO_VALUE = new Uint8Array(1);

/** Sets an attribute of an open file. `name` as in the kernel (`security.capability`), `value` binary. */
export function setXattrFd(fd: number, name: SysPath, value: Uint8Array): void {
  if (libc.fsetxattr(fd, cString(name), value.length === 0 ? NO_VALUE : value, value.length, 0) < 0)
    throw syscallError('fsetxattr', name);
}

/** Sets an attribute by path. Does not follow a link in the last component. To be combined with `fdPath`. */
export function setXattr(path: SysPath, name: SysPath, value: Uint8Array): void {
  if (libc.lsetxattr(cString(path), cString(name), value.length === 0 ? NO_VALUE : value, value.length, 0) < 0)
    throw syscallError('lsetxattr', path);
}

/** Value of an attribute, or undefined when it does not exist. */
export function getXattr(path: SysPath, name: SysPath): Buffer | undefined {
  let out = Buffer.allocUnsafe(256);
  for (;;) {
    const length = libc.lgetxattr(cString(path), cString(name), out, out.length);
    if (length >= 0) return Buffer.from(out.subarray(0, length));
    const error = syscallError('lgetxattr', path);
    if (isErrno(error, 'ENODATA')) return undefined;
    if (!isErrno(error, 'ERANGE')) throw error;
    out = Buffer.allocUnsafe(65536);
  }
}

/** Names of all attributes, sorted bytewise; empty where the file system does not support attributes. */
export function listXattrs(path: SysPath): Buffer[] {
  let out = Buffer.allocUnsafe(1024);
  for (;;) {
    const length = libc.llistxattr(cString(path), out, out.length);
    if (length >= 0) return splitNames(out.subarray(0, length));
    const error = syscallError('llistxattr', path);
    if (isErrno(error, 'ENOTSUP')) return [];
    if (!isErrno(error, 'ERANGE')) throw error;
    out = Buffer.allocUnsafe(65536);
  }
}

export function removeXattr(path: SysPath, name: SysPath): void {
  if (libc.lremovexattr(cString(path), cString(name)) < 0) throw syscallError('lremovexattr', path);
}

function splitNames(list: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < list.length;) {
    const end = list.indexOf(0, start);
    names.push(Buffer.from(list.subarray(start, end)));
    start = end + 1;
  }
  return names.sort((a, b) => Buffer.compare(a, b));
}
