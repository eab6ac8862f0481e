import type { Readable } from 'node:stream';
import { ArchiveFormatError, SizeMismatchError } from '../errors.js';
import type { Descriptor, ReopenableBlob } from '../spec/index.js';

/** Files by path, wherever they lie: in a directory or in a tar. Links are followed, never out. */
export interface FileTree {
  /** What to call it in messages. */
  readonly title: string;
  /** Bytes of a regular file; undefined when there is none. Throws ArchiveFormatError when it is something else. */
  size(path: string): Promise<number | undefined>;
  /** Streams a file from `offset` bytes on. Throws ArchiveFormatError when there is none. */
  open(path: string, options?: { readonly offset?: number; readonly signal?: AbortSignal }): Promise<Readable>;
  /** Paths of all files of a tar; of a directory none. */
  names(): Iterable<string>;
  close(): Promise<void>;
}

/** A small file whole. Throws ArchiveFormatError when it is missing or larger than `maxBytes`. */
export async function readSmall(tree: FileTree, path: string, maxBytes: number): Promise<Buffer> {
  const size = await tree.size(path);
  if (size === undefined) throw missingFileError(tree, path);
  if (size > maxBytes) {
    throw new ArchiveFormatError(`${path} in ${tree.title} is ${size} bytes, over the limit of ${maxBytes}`, {
      entry: path,
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of (await tree.open(path)) as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The error for a file that must be there. */
export function missingFileError(tree: FileTree, path: string): ArchiveFormatError {
  return new ArchiveFormatError(`${tree.title} has no ${path}`, {
    entry: path,
    hint: 'the archive is incomplete: create it again',
  });
}

/** The blob in a file. Opening it throws ArchiveFormatError where the file is missing, SizeMismatchError for another size. */
export function blobAt(tree: FileTree, path: string, descriptor: Descriptor): ReopenableBlob {
  return {
    descriptor,
    open: async (options) => {
      await checkSize(tree, path, descriptor);
      return tree.open(path, options);
    },
  };
}

async function checkSize(tree: FileTree, path: string, { digest, size }: Descriptor): Promise<void> {
  const actual = await tree.size(path);
  if (actual === undefined) throw missingFileError(tree, path);
  if (actual === size) return;
  throw new SizeMismatchError(
    `blob ${digest} in ${tree.title} has ${actual} bytes, not the ${size} its manifest says`,
    {
      expected: size,
      actual,
    },
  );
}
