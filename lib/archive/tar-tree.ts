import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ArchiveFormatError } from '../errors.js';
import { readRange } from '../util/index.js';
import { missingFileError, type FileTree } from './file-tree.js';
import { MAX_LINK_DEPTH } from './limits.js';
import type { TarMember } from './tar-index.js';

/** The files of a tar in a seekable file. Takes ownership of `file` and closes it. */
export class TarTree implements FileTree {
  readonly title: string;
  readonly #file: FileHandle;
  readonly #members: ReadonlyMap<string, TarMember>;

  constructor(title: string, file: FileHandle, members: ReadonlyMap<string, TarMember>) {
    this.title = title;
    this.#file = file;
    this.#members = members;
  }

  // Async, so that all errors reject.
  // oxlint-disable-next-line typescript/require-await
  async size(path: string): Promise<number | undefined> {
    return this.#find(path)?.size;
  }

  // oxlint-disable-next-line typescript/require-await
  async open(
    path: string,
    options: { readonly offset?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Readable> {
    const { offset = 0, signal } = options;
    signal?.throwIfAborted();
    const member = this.#find(path);
    if (member === undefined) throw missingFileError(this, path);
    return readRange(this.#file, member.offset + offset, member.offset + member.size, signal);
  }

  names(): Iterable<string> {
    return this.#members.keys();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #find(path: string): { readonly offset: number; readonly size: number } | undefined {
    let member = this.#members.get(path);
    for (let depth = 0; member?.kind === 'link'; depth += 1) {
      if (depth === MAX_LINK_DEPTH) {
        throw new ArchiveFormatError(`${path} in ${this.title} is an endless chain of links`, { entry: path });
      }
      member = this.#members.get(member.target);
    }
    return member;
  }
}
