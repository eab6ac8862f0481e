import type { Readable } from 'node:stream';
import { ArchiveFormatError, SizeMismatchError } from '../errors.js';
import type { Descriptor, ReopenableBlob } from '../spec/index.js';

/** Files by path, in a directory or a tar. Links are followed only inside it. */
export interface FileTree {
  /** Its name in messages. */
  readonly title: string;
  /** Size of a regular file in bytes; undefined when it does not exist. Throws ArchiveFormatError for other file types. */
  size(path: string): Promise<number | undefined>;
  /** Streams a file from byte `offset` on. Throws ArchiveFormatError when it does not exist. */
  open(path: string, options?: { readonly offset?: number; readonly signal?: AbortSignal }): Promise<Readable>;
  /** Paths of all files of a tar; empty for a directory. */
  names(): Iterable<string>;
  close(): Promise<void>;
}

/** Reads a whole small file. Throws ArchiveFormatError when it is missing or larger than `maxBytes`. */
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

/** The error for a missing file. */
export function missingFileError(tree: FileTree, path: string): ArchiveFormatError {
  return new ArchiveFormatError(`${tree.title} has no ${path}`, {
    entry: path,
    hint: 'the archive is incomplete: create it again',
  });
}

/** The blob in a file. Opening it throws ArchiveFormatError when the file is missing, SizeMismatchError for another size. */
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
    `blob ${digest} in ${tree.title} has ${actual} bytes, not the ${size} stated by its manifest`,
    {
      expected: size,
      actual,
    },
  );
}
