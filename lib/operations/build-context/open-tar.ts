import { readSync } from 'node:fs';
import type { FileTree } from '../../rootfs/index.js';
import { GrowingFile, gzipUnsupported } from '../../util/index.js';
import type { Spool, SpooledFile } from './spool.js';
import type { BuildContextDeps } from './types.js';

type TarDeps = Pick<BuildContextDeps, 'createIndexer' | 'openTarTree' | 'beginsTar' | 'onNote'>;

/**
 * Opens a tar as a tree: plain, gzip, zstd, xz or bzip2. Contents go to unnamed files, so names in the tar are harmless.
 * Undefined if it is not a tar. Throws LayerFormatError, PathEscapeError, CommandError, DiskSpaceError, AbortError.
 */
export async function openTar(
  deps: TarDeps,
  source: AsyncIterable<Buffer>,
  { spool, signal }: { readonly spool: Spool; readonly signal: AbortSignal },
): Promise<FileTree | undefined> {
  const { bytes, close } = await gzipUnsupported(source, signal);
  let file: SpooledFile;
  try {
    file = await spool.take(bytes, signal);
  } finally {
    await close();
  }
  try {
    if (!(await deps.beginsTar(file.fd, file.size))) return undefined;
    const [index, data] = [spool.make(), spool.make()];
    const indexer = await deps.createIndexer();
    try {
      const { fd, size } = file;
      const growing = GrowingFile.complete(size);
      const { notes } = await indexer.index({ fd, growing, size, index, data, plainNames: true, signal });
      notes.forEach((note) => deps.onNote(note));
    } finally {
      await indexer.close();
    }
    return await deps.openTarTree(index, data);
  } finally {
    spool.drop(file.fd);
  }
}

/** The bytes of an open file. */
export async function* bytesOf({
  fd,
  size,
  offset,
}: {
  fd: number;
  size: number;
  offset: number;
}): AsyncGenerator<Buffer> {
  for (let done = 0; done < size;) {
    const chunk = Buffer.allocUnsafe(Math.min(256 * 1024, size - done));
    const length = readSync(fd, chunk, 0, chunk.length, offset + done);
    if (length === 0) return;
    yield chunk.subarray(0, length);
    done += length;
    await Promise.resolve();
  }
}
