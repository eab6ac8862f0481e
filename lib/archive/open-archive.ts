import { open, stat, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ArchiveFormatError } from '../errors.js';
import { COMPRESSION_HEAD_BYTES } from '../spec/index.js';
import { fileError, readRange } from '../util/index.js';
import { decompress, detectCompression } from './decompress.js';
import { DirectoryTree } from './directory-tree.js';
import { openDockerArchive } from './docker-archive-reader.js';
import { isDockerDirectory, openDockerDirectory } from './docker-directory-reader.js';
import type { FileTree } from './file-tree.js';
import { openOciLayout } from './oci-layout-reader.js';
import { peek } from './peek.js';
import { spool } from './spool.js';
import { indexTar } from './tar-index.js';
import { TarTree } from './tar-tree.js';
import type { ImageArchive } from './types.js';
import { isV1Archive, openV1Archive } from './v1-archive-reader.js';

export interface OpenArchiveOptions {
  /** Path of a file or directory, or the bytes of a file (consumed). */
  readonly source: string | Readable;
  /** Its name in messages. */
  readonly title: string;
  /** Directory for data that comes from a pipe or is compressed. */
  readonly temporaryDirectory: string;
  readonly signal: AbortSignal;
}

/**
 * Opens an archive, plain or compressed with gzip or zstd; detects its format from its content. Throws UsageError
 * (unreadable), ArchiveFormatError, PathEscapeError, UnsupportedMediaTypeError, InvalidManifestError, AbortError.
 */
export async function openImageArchive(options: OpenArchiveOptions): Promise<ImageArchive> {
  const tree = await openTree(options);
  try {
    const kind = tree instanceof DirectoryTree ? 'oci-dir' : 'oci-archive';
    if ((await tree.size('oci-layout')) !== undefined) return await openOciLayout(tree, kind);
    if (tree instanceof DirectoryTree && (await isDockerDirectory(tree))) return await openDockerDirectory(tree);
    if ((await tree.size('manifest.json')) !== undefined) return await openDockerArchive(tree);
    if (await isV1Archive(tree)) return await openV1Archive(tree, options.signal);
    throw new ArchiveFormatError(
      `${tree.title} is not an image archive: it has no oci-layout, manifest.json or repositories`,
      {
        hint: 'specify an OCI layout or an archive saved by docker, podman, skopeo or imgtool; for a tar of files, use "imgtool import"',
      },
    );
  } catch (error) {
    await tree.close();
    throw error;
  }
}

async function openTree(options: OpenArchiveOptions): Promise<FileTree> {
  const { source, title } = options;
  if (typeof source !== 'string') return fromStream(source, options);
  let file: FileHandle;
  try {
    if ((await stat(source)).isDirectory()) return new DirectoryTree(source);
    file = await open(source, 'r');
  } catch (error) {
    throw fileError(title, 'read', error);
  }
  try {
    if (!(await file.stat()).isFile()) return await fromStream(file.createReadStream(), options);
    const head = Buffer.alloc(COMPRESSION_HEAD_BYTES);
    const { bytesRead } = await file.read(head, 0, COMPRESSION_HEAD_BYTES, 0);
    const bytes = readRange(file, 0, Infinity, options.signal);
    if (detectCompression(head.subarray(0, bytesRead), title) === 'none') {
      return new TarTree(title, file, await indexTar(bytes, title, options.signal));
    }
    const tree = await fromStream(bytes, options);
    await file.close();
    return tree;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function fromStream(source: Readable, options: OpenArchiveOptions): Promise<FileTree> {
  const { title, temporaryDirectory, signal } = options;
  const { head, rest } = await peek(source as AsyncIterable<Buffer>, COMPRESSION_HEAD_BYTES);
  const plain = decompress(rest, detectCompression(head, title), title);
  const { file, result } = await spool(plain, temporaryDirectory, {
    signal,
    onCopy: (branch) => indexTar(branch, title, signal),
  });
  return new TarTree(title, file, result);
}
