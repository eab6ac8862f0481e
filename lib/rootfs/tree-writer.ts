import { closeSync, constants, ftruncateSync, readSync, writeSync } from 'node:fs';
import {
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  OPEN_DIRECTORY,
  setTimesFd,
  statAt,
  statAtIfThere,
  symlinkAt,
  unlinkAt,
} from '../sys/index.js';
import { fromByteString, type ByteString } from './byte-path.js';
import {
  setDirectoryAttributes,
  setFileAttributes,
  setSpecialAttributes,
  type AttributeSource,
  type OnRefused,
} from './copy-attributes.js';
import { copyContent } from './copy-content.js';
import { DirectoryTree, ParentCache } from './directory-tree.js';
import type { FileContent, FileTree, OpenContent, TreeAttributes, TreeNode, WritableTree } from './file-tree.js';
import { openParent } from './open-parent.js';
import { removeTree } from './remove-tree.js';
import { runInSlices } from './walk-changes.js';

const { S_IFCHR, S_IFBLK, S_IFIFO, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
const BLOCK = 256 * 1024;

/** How a `TreeWriter` is opened. */
export interface TreeWriterOptions {
  /** Hears of attributes that the file system refuses, each once. */
  readonly onRefused: OnRefused;
  readonly signal: AbortSignal;
}

/**
 * Opens a directory of this machine for writing, contained: paths lead through no link. Nobody else writes there meanwhile; what
 * was written by the time of a failure stays. `finish` puts the times of directories back, `close` gives descriptors back.
 * Throws SyscallError.
 */
export function openTreeWriter(root: string, options: TreeWriterOptions): TreeWriter {
  return new TreeWriter(root, options);
}

/** A directory of this machine as a `WritableTree`; reads it as well. */
export class TreeWriter implements WritableTree, FileTree {
  readonly #parents: ParentCache;
  readonly #reader: DirectoryTree;
  readonly #options: TreeWriterOptions;
  /** Times that directories get in the end, which their new entries would change. */
  readonly #times = new Map<ByteString, bigint>();
  readonly #refused = new Set<string>();
  readonly #block = Buffer.allocUnsafeSlow(BLOCK);

  constructor(root: string, options: TreeWriterOptions) {
    this.#parents = new ParentCache(root);
    this.#reader = new DirectoryTree(this.#parents);
    this.#options = options;
  }

  node(path: ByteString): TreeNode | undefined {
    return this.#reader.node(path);
  }

  names(path: ByteString): readonly ByteString[] {
    return this.#reader.names(path);
  }

  open(path: ByteString, node: TreeNode): Promise<OpenContent> {
    return this.#reader.open(path, node);
  }

  makeDirectory(path: ByteString, attributes: TreeAttributes): void {
    const { dir, name } = this.#touch(path);
    mkdirAt(dir, name, 0o700);
    this.#setDirectory(dir, name, { path, attributes });
  }

  setDirectory(path: ByteString, attributes: TreeAttributes): void {
    const { dir, name } = this.#parents.need(path);
    this.#setDirectory(dir, name, { path, attributes });
  }

  async putFile(path: ByteString, attributes: TreeAttributes, content: FileContent): Promise<void> {
    const source = await content.open();
    try {
      const { dir, name } = this.#vacant(path);
      const fd = openAt(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        await this.#fill(fd, source);
        source.check?.();
        setFileAttributes({ fd, dir, name }, sourceOf('file', attributes), this.#noteRefused);
      } finally {
        closeSync(fd);
      }
    } finally {
      source.close();
    }
  }

  putSpecial(path: ByteString, node: TreeNode): void {
    const { dir, name } = this.#vacant(path);
    if (node.type === 'symlink') symlinkAt(fromByteString(node.target ?? ''), dir, name);
    else {
      const type = node.type === 'fifo' ? S_IFIFO : node.type === 'block-device' ? S_IFBLK : S_IFCHR;
      mknodAt(dir, name, type | 0o600, node.device?.major, node.device?.minor);
    }
    setSpecialAttributes(dir, name, sourceOf(node.type, node), this.#noteRefused);
  }

  link(path: ByteString, first: ByteString): void {
    const { dir, name } = this.#vacant(path);
    const root = this.#parents.need('').dir;
    const source = openParent(root, fromByteString(first));
    try {
      linkAt(source.dir, source.name, dir, name);
    } finally {
      closeSync(source.dir);
    }
  }

  remove(path: ByteString): void {
    const { dir, name } = this.#touch(path);
    removeTree(dir, name);
    this.#parents.forget();
    for (const known of this.#times.keys())
      if (known === path || known.startsWith(`${path}/`)) this.#times.delete(known);
  }

  /** Gives the directories that were made or changed their times. Throws SyscallError. */
  finish(): void {
    for (const [path, mtimeNs] of this.#times) {
      const fd = this.#parents.directory(path);
      if (fd !== undefined) setTimesFd(fd, mtimeNs);
    }
    this.#times.clear();
  }

  close(): void {
    this.#reader.close();
  }

  #setDirectory(
    dir: number,
    name: Buffer,
    { path, attributes }: { readonly path: ByteString; readonly attributes: TreeAttributes },
  ): void {
    const fd = openAt(dir, name.length === 0 ? '.' : name, OPEN_DIRECTORY);
    try {
      setDirectoryAttributes(fd, sourceOf('directory', attributes), this.#noteRefused);
    } finally {
      closeSync(fd);
    }
    this.#times.set(path, attributes.mtimeNs);
  }

  /** Where `path` lies, whose directory is about to change. */
  #touch(path: ByteString): { readonly dir: number; readonly name: Buffer } {
    const place = this.#parents.need(path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (!this.#times.has(parent)) this.#times.set(parent, statAt(place.dir, '').mtimeNs);
    return place;
  }

  /** The same, after what had the name is gone. Throws SyscallError (EISDIR for a directory). */
  #vacant(path: ByteString): { readonly dir: number; readonly name: Buffer } {
    const place = this.#touch(path);
    // An error for each new file takes longer than asking.
    if (statAtIfThere(place.dir, place.name) !== undefined) unlinkAt(place.dir, place.name);
    return place;
  }

  async #fill(fd: number, { fd: from, offset, size, regions }: OpenContent): Promise<void> {
    const { signal } = this.#options;
    // Sharing extents is not worth the calls for what is read at once.
    if (size > BLOCK && offset === 0 && regions === undefined && Number(statAt(from, '').size) === size) {
      await runInSlices(copyContent(from, fd, BigInt(size)), signal);
      return;
    }
    const block = this.#block;
    let at = offset;
    const map = regions ?? [0, size];
    for (let index = 0; index < map.length; index += 2) {
      let [to, left] = [map[index]!, map[index + 1]!];
      while (left > 0) {
        signal.throwIfAborted();
        const length = readSync(from, block, 0, Math.min(left, block.length), at);
        if (length === 0) throw new RangeError('a file that was unpacked before is shorter now');
        for (let done = 0; done < length;) done += writeSync(fd, block, done, length - done, to + done);
        [at, to, left] = [at + length, to + length, left - length];
      }
    }
    if (regions !== undefined) ftruncateSync(fd, size);
  }

  readonly #noteRefused: OnRefused = (attribute) => {
    if (this.#refused.has(attribute)) return;
    this.#refused.add(attribute);
    this.#options.onRefused(attribute);
  };
}

function sourceOf(type: TreeNode['type'], { mode, uid, gid, mtimeNs, xattrs }: TreeAttributes): AttributeSource {
  return { type, stat: { mode, uid, gid, mtimeNs }, xattrs };
}
