import { closeSync, readdirSync } from 'node:fs';
import { SyscallError } from '../errors.js';
import {
  AT_FDCWD,
  displayPath,
  fdPath,
  isErrno,
  openAt,
  OPEN_DIRECTORY,
  statAt,
  statAtIfThere,
  type FileStat,
} from '../sys/index.js';
import { fromByteString, type ByteString } from './byte-path.js';
import type { FileStamp, FileTree, OpenContent, TreeNode } from './file-tree.js';
import { openParent } from './open-parent.js';
import { openRegular } from './open-regular.js';
import { readMetadata } from './read-metadata.js';

const EMPTY = Buffer.alloc(0);

/**
 * Opens a directory of this machine for contained reading: follows no link, and fails when a file is replaced while it
 * is read. The caller closes it. Throws SyscallError.
 */
export function openDirectoryTree(root: string): DirectoryTree {
  return new DirectoryTree(new ParentCache(root));
}

/** A directory of this machine as a `FileTree`. */
export class DirectoryTree implements FileTree {
  readonly #parents: ParentCache;

  /** `close` also closes `parents`. */
  constructor(parents: ParentCache) {
    this.#parents = parents;
  }

  node(path: ByteString): TreeNode | undefined {
    const place = this.#parents.find(path);
    if (place === undefined || statAtIfThere(place.dir, place.name) === undefined) return undefined;
    return nodeAt(place.dir, place.name);
  }

  names(path: ByteString): readonly ByteString[] {
    const fd = this.#parents.directory(path);
    return fd === undefined ? [] : readdirSync(fdPath(fd), { encoding: 'latin1' }).sort();
  }

  // oxlint-disable-next-line typescript/require-await
  async open(path: ByteString, { stamp }: TreeNode): Promise<OpenContent> {
    const { dir, name } = this.#parents.need(path);
    const seen = statAt(dir, name);
    const fd = openRegular({ dir, name }, seen);
    const check = (): void => {
      if (stamp === undefined || isStampOf(stamp, statAt(fd, ''))) return;
      throw new SyscallError(`${displayPath(fromByteString(path))} was changed while it was read`, {
        errno: 'ESTALE',
        syscall: 'read',
        hint: 'stop the process that writes to it and try again',
      });
    };
    return { fd, offset: 0, size: Number(seen.size), check, close: () => closeSync(fd) };
  }

  close(): void {
    this.#parents.close();
  }
}

/** The node of `name` in the open directory `dir`. Throws SyscallError. */
function nodeAt(dir: number, name: Uint8Array): TreeNode {
  const { type, stat, target, xattrs } = readMetadata(dir, name);
  const isFile = type === 'file';
  return {
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: isFile ? Number(stat.size) : 0,
    mtimeNs: stat.mtimeNs,
    xattrs,
    ...(target === undefined ? {} : { target: target.toString('latin1') }),
    ...(type === 'character-device' || type === 'block-device'
      ? { device: { major: stat.rdevMajor, minor: stat.rdevMinor } }
      : {}),
    ...(type !== 'directory' && stat.nlink > 1 ? { linkKey: `${stat.devMajor}:${stat.devMinor}:${stat.ino}` } : {}),
    ...(isFile ? { stamp: stampOf(stat) } : {}),
  };
}

function stampOf({ devMajor, devMinor, ino, size, mtimeNs, ctimeNs }: FileStat): FileStamp {
  return { device: (BigInt(devMajor) << 32n) | BigInt(devMinor), inode: ino, size, mtimeNs, ctimeNs };
}

function isStampOf(stamp: FileStamp, stat: FileStat): boolean {
  const now = stampOf(stat);
  return (Object.keys(now) as (keyof FileStamp)[]).every((key) => now[key] === stamp[key]);
}

/** Keeps the last requested directory open, because walks ask for the files of one directory in sequence. */
export class ParentCache {
  readonly #root: number;
  #last: { readonly path: ByteString; readonly fd: number } | undefined;

  /** Throws SyscallError. */
  constructor(root: string) {
    this.#root = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  }

  /** The parent directory of `path` and the name in it (empty for the root); undefined when there is no such directory. */
  find(path: ByteString): { readonly dir: number; readonly name: Buffer } | undefined {
    if (path === '') return { dir: this.#root, name: EMPTY };
    const slash = path.lastIndexOf('/');
    const dir = this.directory(slash < 0 ? '' : path.slice(0, slash));
    return dir === undefined ? undefined : { dir, name: fromByteString(path.slice(slash + 1)) };
  }

  /** Like `find`. Throws SyscallError when there is no such directory. */
  need(path: ByteString): { readonly dir: number; readonly name: Buffer } {
    const found = this.find(path);
    if (found !== undefined) return found;
    const parent = openParent(this.#root, fromByteString(path));
    closeSync(parent.dir);
    return this.need(path);
  }

  /** The directory at `path`, open until another one is requested; undefined when there is none. */
  directory(path: ByteString): number | undefined {
    if (path === '') return this.#root;
    if (this.#last?.path === path) return this.#last.fd;
    let fd: number;
    try {
      const parent = openParent(this.#root, fromByteString(path));
      try {
        fd = openAt(parent.dir, parent.name, OPEN_DIRECTORY);
      } finally {
        closeSync(parent.dir);
      }
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
      throw error;
    }
    this.forget();
    this.#last = { path, fd };
    return fd;
  }

  close(): void {
    this.forget();
    closeSync(this.#root);
  }

  /** Closes the directory, because its path may soon belong to another one. */
  forget(): void {
    if (this.#last !== undefined) closeSync(this.#last.fd);
    this.#last = undefined;
  }
}
