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

export interface TreeWriterOptions {
  /** Receives attributes that the file system refuses, each once. */
  readonly onRefused: OnRefused;
  readonly signal: AbortSignal;
}

/**
 * Opens a directory of this machine for contained writing: no path leads through a link. No other process may write
 * there meanwhile. After an error, files written so far remain. `finish` sets the times of directories, `close`
 * releases descriptors. Throws SyscallError.
 */
export function openTreeWriter(root: string, options: TreeWriterOptions): TreeWriter {
  return new TreeWriter(root, options);
}

/** A directory of this machine as a `WritableTree`, which can also be read. */
export class TreeWriter implements WritableTree, FileTree {
  readonly #parents: ParentCache;
  readonly #reader: DirectoryTree;
  readonly #options: TreeWriterOptions;
  /** Final modification times of directories, which new entries would change. */
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

  /** Sets the final times of the directories that were created or changed. Throws SyscallError. */
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

  /** The parent directory and name of `path`, when that directory is about to change. */
  #touch(path: ByteString): { readonly dir: number; readonly name: Buffer } {
    const place = this.#parents.need(path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (!this.#times.has(parent)) this.#times.set(parent, statAt(place.dir, '').mtimeNs);
    return place;
  }

  /** Like `#touch`, after removing an existing file of that name. Throws SyscallError (EISDIR for a directory). */
  #vacant(path: ByteString): { readonly dir: number; readonly name: Buffer } {
    const place = this.#touch(path);
    // Checking is faster than an error for each new file.
    if (statAtIfThere(place.dir, place.name) !== undefined) unlinkAt(place.dir, place.name);
    return place;
  }

  async #fill(fd: number, source: OpenContent): Promise<void> {
    const { fd: from, offset, size, regions } = source;
    const { signal } = this.#options;
    // For small files, sharing extents costs more calls than it saves.
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
        if (length === 0) {
          source.check?.();
          throw new RangeError('an unpacked file has become shorter');
        }
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
