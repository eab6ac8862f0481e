import { Readable } from 'node:stream';
import type { LayerApplier } from '../../layer/index.js';
import { MEDIA_TYPE, type ChainId } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore, damagedBlobError } from '../download/index.js';
import type { NewBlobs } from '../store/index.js';
import { takeGivenTar, givenTarError } from './given-tar.js';
import { type LayerPlan, unpackUndeclaredLayer } from './unpack-layers.js';

/** A tar to make a layer of. */
export interface TarLayer {
  /** Plain, or compressed with gzip, zstd, xz or bzip2; consumed. */
  readonly source: Readable;
  /** What it is called in messages. */
  readonly name: string;
  /** The layer below. */
  readonly parent: ChainId | undefined;
  /** Gets the blob as soon as it is in the store; the caller drops it when no image comes of it. */
  readonly blobs: NewBlobs;
  readonly signal: AbortSignal;
}

/**
 * Takes a tar into the store as a blob, as it came (xz and bzip2 become gzip), and as the layer it unpacks to. The tar may
 * exist nowhere else: call `syncLayers` before a record names the layer. Throws LayerFormatError,
 * UnsupportedMediaTypeError, PathEscapeError (a bad tar), CommandError (the program for xz or bzip2 is missing),
 * StoreError (the disk lost bytes of it), DiskSpaceError, AbortError; the layer is rolled back then.
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
  // How it is compressed is found out by unpacking.
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
