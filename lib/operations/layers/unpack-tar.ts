import { Readable } from 'node:stream';
import type { LayerApplier } from '../../layer/index.js';
import { MEDIA_TYPE, type ChainId } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore, damagedBlobError } from '../download/index.js';
import type { NewBlobs } from '../store/index.js';
import { takeGivenTar, givenTarError } from './given-tar.js';
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
  const { digest, size } = await takeGivenTar(source, { name, signal }, (bytes) =>
    deps.content.ingestStream(Readable.from(bytes, { objectMode: false }), { signal }),
  );
  blobs.add(digest);
  // Unpacking determines the compression.
  const blob = { mediaType: MEDIA_TYPE.ociLayer, digest, size };
  const downloads = blobsInStore(deps.content);
  try {
    return await unpackUndeclaredLayer(deps, downloads, applier, { blob, parent, signal });
  } catch (failure) {
    throw givenTarError(await damagedBlobError(failure, deps, [digest]), name);
  } finally {
    await downloads.close();
  }
}
