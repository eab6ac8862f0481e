import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ArchiveFormatError } from '../errors.js';
import { destroyOnAbort } from '../util/index.js';
import { missingFileError, type FileTree } from './file-tree.js';

/** The files of a directory. Refuses links, pipes and devices. */
export class DirectoryTree implements FileTree {
  readonly title: string;
  readonly #root: string;

  constructor(root: string) {
    this.title = root;
    this.#root = root;
  }

  async size(path: string): Promise<number | undefined> {
    const file = await this.#open(path);
    if (file === undefined) return undefined;
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }

  async open(
    path: string,
    options: { readonly offset?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Readable> {
    const { offset = 0, signal } = options;
    signal?.throwIfAborted();
    const file = await this.#open(path);
    if (file === undefined) throw missingFileError(this, path);
    const stream = file.createReadStream({ start: offset, highWaterMark: 1024 * 1024 });
    return signal === undefined ? stream : destroyOnAbort(signal, stream);
  }

  names(): Iterable<string> {
    return [];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #open(path: string): Promise<FileHandle | undefined> {
    let file: FileHandle;
    try {
      // Opening a pipe must not block.
      file = await open(join(this.#root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      if (code === 'ELOOP' || code === 'ENXIO') throw this.#unsupportedFileError(path);
      throw error;
    }
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw this.#unsupportedFileError(path);
  }

  #unsupportedFileError(path: string): ArchiveFormatError {
    return new ArchiveFormatError(`${path} in ${this.title} is not a regular file`, { entry: path });
  }
}
