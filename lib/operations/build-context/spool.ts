import { createHash } from 'node:crypto';
import { closeSync, writeSync } from 'node:fs';
import { DiskSpaceError, isDiskFull } from '../../errors.js';
import type { FileTree, OpenContent, TreeNode } from '../../rootfs/index.js';
import { openTemporarySync } from '../../util/index.js';

/** A file stored in the spool. */
export interface SpooledFile {
  readonly fd: number;
  readonly size: number;
  /** Hexadecimal SHA-256. */
  readonly hash: string;
}

/** Unnamed temporary files; they disappear with the process, however it ends. */
export class Spool {
  readonly #directory: string;
  readonly #open = new Set<number>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Creates an empty file for reading and writing. Throws UsageError (no such directory), DiskSpaceError. */
  make(): number {
    const fd = openTemporarySync(this.#directory);
    this.#open.add(fd);
    return fd;
  }

  /** Stores bytes in a file. Throws the errors of the source, DiskSpaceError, AbortError. */
  async take(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<SpooledFile> {
    const fd = this.make();
    const hash = createHash('sha256');
    let size = 0;
    try {
      for await (const chunk of source) {
        signal.throwIfAborted();
        hash.update(chunk);
        size += chunk.length;
        for (let done = 0; done < chunk.length;) done += writeSync(fd, chunk, done, chunk.length - done);
      }
    } catch (error) {
      this.drop(fd);
      if (!isDiskFull(error)) throw error;
      throw new DiskSpaceError(`no room in ${this.#directory} for ${size} bytes and more`, {
        cause: error,
        hint: 'TMPDIR names another directory for temporary files',
      });
    }
    return { fd, size, hash: hash.digest('hex') };
  }

  /** Releases a file. */
  drop(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /** Releases all files. */
  close(): void {
    for (const fd of this.#open) closeSync(fd);
    this.#open.clear();
  }
}

/** A tree of one file: a heredoc or a download. */
export class SpooledTree implements FileTree {
  readonly #name: string;
  readonly #attributes: Pick<TreeNode, 'mode' | 'mtimeNs'>;
  readonly #file: SpooledFile;

  constructor(name: string, attributes: Pick<TreeNode, 'mode' | 'mtimeNs'>, file: SpooledFile) {
    this.#name = name;
    this.#attributes = attributes;
    this.#file = file;
  }

  node(path: string): TreeNode | undefined {
    const common = { uid: 0, gid: 0, xattrs: new Map<string, Buffer>() };
    if (path === '') return { type: 'directory', size: 0, ...common, mode: 0o755, mtimeNs: 0n };
    if (path !== this.#name) return undefined;
    const { size, hash } = this.#file;
    return { type: 'file', size, contentHash: hash, ...common, ...this.#attributes };
  }

  names(): readonly string[] {
    return [this.#name];
  }

  open(): Promise<OpenContent> {
    const { fd, size } = this.#file;
    return Promise.resolve({ fd, offset: 0, size, close: () => undefined });
  }
}
