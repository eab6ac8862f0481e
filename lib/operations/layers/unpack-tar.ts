import { Readable } from 'node:stream';
import { LayerFormatError, UnsupportedMediaTypeError } from '../../errors.js';
import type { LayerApplier } from '../../layer/index.js';
import { MEDIA_TYPE, type ChainId, type Digest } from '../../spec/index.js';
import { gzipUnsupported } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore, damagedBlobError } from '../download/index.js';
import type { NewBlobs } from '../store/index.js';
import { type LayerPlan, unpackUndeclaredLayer } from './unpack-layers.js';

/** A tar to turn into a layer. */
export interface TarLayer {
  /** Plain, or compressed with gzip, zstd, xz or bzip2. Is consumed. */
  readonly source: Readable;
  /** Its name for messages. */
  readonly name: string;
  /** The layer below. */
  readonly parent: ChainId | undefined;
  /** Receives the blob as soon as it is in the store. The caller removes it if no image is created. */
  readonly blobs: NewBlobs;
  readonly signal: AbortSignal;
}

/**
 * Adds a tar to the store as a blob, unchanged (xz and bzip2 become gzip), and as a layer. The store may then have the
 * only copy of the tar, so call `syncLayers` before a record names the layer. Rolls back on failure. Throws
 * LayerFormatError, UnsupportedMediaTypeError, PathEscapeError (an invalid tar), CommandError (the program for xz or
 * bzip2 is missing), StoreError (the disk has damaged the blob), DiskSpaceError, AbortError.
 */
export async function unpackTar(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>,
  applier: LayerApplier,
  { source, name, parent, blobs, signal }: TarLayer,
): Promise<LayerPlan> {
  const { digest, size } = await ingestLayer(deps, { source, name, signal });
  blobs.add(digest);
  // Unpacking determines the compression.
  const blob = { mediaType: MEDIA_TYPE.ociLayer, digest, size };
  const downloads = blobsInStore(deps.content);
  try {
    return await unpackUndeclaredLayer(deps, downloads, applier, { blob, parent, signal });
  } catch (failure) {
    const error = await damagedBlobError(failure, deps, [digest]);
    if (!(error instanceof UnsupportedMediaTypeError)) throw error;
    throw new UnsupportedMediaTypeError(`${name} is no tar, or compressed in a way that layers do not use`, {
      mediaType: error.mediaType,
      hint: 'give a tar, plain or compressed with gzip, zstd, xz or bzip2',
      cause: error,
    });
  } finally {
    await downloads.close();
  }
}

async function ingestLayer(
  { content }: Pick<OperationDeps, 'content'>,
  { source, name, signal }: Pick<TarLayer, 'source' | 'name' | 'signal'>,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  let received = 0;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      received += chunk.length;
      yield chunk;
    }
  };
  const { bytes, close } = await gzipUnsupported(counted(), signal);
  try {
    if (received === 0) throw new LayerFormatError(`${name} is empty`, { hint: 'give a tar of files' });
    return await content.ingestStream(Readable.from(bytes, { objectMode: false }), { signal });
  } finally {
    await close();
  }
}
