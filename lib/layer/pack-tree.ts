import { closeSync, constants, readdirSync } from 'node:fs';
import { LayerFormatError } from '../errors.js';
import {
  AT_FDCWD,
  displayPath,
  fdPath,
  getXattr,
  isErrno,
  listXattrs,
  openAt,
  openAt2,
  readBytes,
  OPEN_DIRECTORY,
  readlinkAt,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  statAt,
  statAtIfThere,
  type FileStat,
} from '../sys/index.js';

const { S_IFMT } = constants;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

/** Read access to the tree below a root. Follows no links, reads nothing outside, and leaves access times unchanged. */
export class PackTree {
  readonly #root: number;
  #parent: { readonly path: Buffer; readonly fd: number } | undefined;
  /** The directory last found missing. */
  #absent: Buffer | undefined;

  /** Opens the root; the caller must call `close`. Throws SyscallError. */
  constructor(root: string) {
    this.#root = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  }

  close(): void {
    if (this.#parent !== undefined) closeSync(this.#parent.fd);
    closeSync(this.#root);
  }

  /** The status of `parent`/`name`. Throws SyscallError. */
  stat(parent: Buffer, name: Buffer): FileStat {
    return statAt(this.#directory(parent), name);
  }

  /** The file type bits of `parent`/`name`, or undefined when it does not exist. */
  typeOf(parent: Buffer, name: Buffer): number | undefined {
    // Called for every file of a new directory; an error for each would take longer than packing a small file.
    if (this.#absent !== undefined && isWithin(parent, this.#absent)) return undefined;
    let directory: number;
    try {
      directory = this.#directory(parent);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
      this.#absent = parent;
      return undefined;
    }
    const stat = statAtIfThere(directory, name);
    return stat && stat.mode & S_IFMT;
  }

  /** Names in a directory, one char per byte. */
  names(path: Buffer): string[] {
    return readdirSync(fdPath(this.#directory(path)), { encoding: 'latin1' });
  }

  linkTarget(parent: Buffer, name: Buffer): Buffer {
    return readlinkAt(this.#directory(parent), name);
  }

  /** The portable attributes, sorted by name. */
  xattrs(parent: Buffer, name: Buffer): { readonly name: Buffer; readonly value: Buffer }[] {
    const path = fdPath(this.#directory(parent), name.length === 0 ? '.' : name);
    return listXattrs(path).flatMap((attribute) => {
      if (!isPortable(attribute.toString('latin1'))) return [];
      const value = getXattr(path, attribute);
      return value === undefined ? [] : [{ name: attribute, value }];
    });
  }

  /** Opens a regular file for reading and checks that it is still the one in `seen`. `path` is for errors. The caller closes it. */
  openFile(parent: Buffer, name: Buffer, { seen, path }: { readonly seen: FileStat; readonly path: Buffer }): number {
    const dir = this.#directory(parent);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    let fd: number;
    try {
      fd = openAt(dir, name, flags | constants.O_NOATIME);
    } catch (error) {
      if (!isErrno(error, 'EPERM')) throw error;
      fd = openAt(dir, name, flags);
    }
    try {
      checkSame(fd, seen, path);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  }

  #directory(path: Buffer): number {
    if (path.length === 0) return this.#root;
    if (this.#parent?.path.equals(path) === true) return this.#parent.fd;
    const fd = openAt2(this.#root, path, { flags: OPEN_DIRECTORY, resolve: BENEATH });
    if (this.#parent !== undefined) closeSync(this.#parent.fd);
    this.#parent = { path, fd };
    return fd;
  }
}

/** Reads exactly `length` bytes into `out`. Throws LayerFormatError when the file has become shorter, SyscallError. */
export function readExactly(fd: number, out: Buffer, position: number, name: Buffer): void {
  for (let done = 0; done < out.length;) {
    const at = { offset: done, length: out.length - done, position: position + done, path: name };
    const count = readBytes(fd, out, at);
    if (count === 0) throw changedFileError(name);
    done += count;
  }
}

/** Throws LayerFormatError unless the open file is the one in `seen` and unmodified. */
export function checkSame(fd: number, seen: FileStat, path: Buffer): void {
  const now = statAt(fd, '');
  const keys = ['ino', 'size', 'mtimeNs', 'ctimeNs', 'mode'] as const;
  if (keys.some((key) => now[key] !== seen[key])) throw changedFileError(path);
}

function changedFileError(path: Buffer): LayerFormatError {
  return new LayerFormatError(`${displayPath(path)} changed while it was read`, {
    entry: displayPath(path),
    hint: 'stop the process that writes to it and try again',
  });
}

function isWithin(path: Buffer, directory: Buffer): boolean {
  const { length } = directory;
  return path.subarray(0, length).equals(directory) && (path.length === length || path[length] === 0x2f);
}

/** True for attributes that belong to the file rather than to this host or its file system. */
export function isPortable(name: string): boolean {
  if (name === 'security.selinux' || name.startsWith('trusted.overlay.')) return false;
  if (name.startsWith('system.')) return name.startsWith('system.posix_acl_');
  return !name.startsWith('btrfs.');
}
