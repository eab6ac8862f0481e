import type { Readable } from 'node:stream';
import { LayerFormatError, UnsupportedMediaTypeError } from '../errors.js';
import type { LayerApplier } from '../layer/index.js';
import { MEDIA_TYPE, type ChainId, type Digest } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { blobsOfStore } from './restore-layers.js';
import { unpackUnknown, type LayerStep } from './unpack-layers.js';

/** A tar to make a layer of. */
export interface TarLayer {
  /** Plain, or compressed with gzip or zstd; consumed. */
  readonly source: Readable;
  /** What it is called in messages. */
  readonly name: string;
  /** The layer below. */
  readonly parent: ChainId | undefined;
  /** Told of the blob as soon as it is in the store: the caller drops it when no image comes of it. */
  readonly made: Digest[];
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/**
 * Takes a tar into the store as a blob, as it came, and as the layer it unpacks to. The tar may exist nowhere else: call
 * `sealLayers` before anything says that the layer is there. Throws LayerFormatError, UnsupportedMediaTypeError,
 * PathEscapeError (a bad tar), DiskSpaceError, AbortError; the layer is rolled back then.
 */
export async function unpackTar(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>,
  applier: LayerApplier,
  { source, name, parent, made, bootId, signal }: TarLayer,
): Promise<LayerStep> {
  const { digest, size } = await deps.content.ingestStream(source, { signal });
  made.push(digest);
  if (size === 0) throw new LayerFormatError(`${name} is empty`, { hint: 'give a tar of files' });
  // How it is compressed is found out by unpacking.
  const blob = { mediaType: MEDIA_TYPE.ociLayer, digest, size };
  const arrivals = blobsOfStore(deps.content);
  try {
    return await unpackUnknown(deps, arrivals, applier, { blob, parent, bootId, signal });
  } catch (error) {
    if (!(error instanceof UnsupportedMediaTypeError)) throw error;
    throw new UnsupportedMediaTypeError(`${name} is no tar, or compressed in a way that layers do not use`, {
      mediaType: error.mediaType,
      hint: 'give a tar, plain or compressed with gzip or zstd',
      cause: error,
    });
  } finally {
    await arrivals.close();
  }
}
