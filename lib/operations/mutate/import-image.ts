import type { Readable } from 'node:stream';
import { digestHex, formatReference, hostPlatform, type ExecutionConfig } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { keepingReserve, type LayerPlan, unpackTar, writeImage } from '../layers/index.js';
import { createdAt, NewBlobs, lockStore, recordImage, sweepStore, syncLayers } from '../store/index.js';
import { withConfigChanges } from './config-changes.js';
import { checkNewName } from './derive-image.js';
import type { NewImageResult, NewImageRequest } from './new-image.js';

export interface ImportRequest extends Omit<NewImageRequest, 'author'> {
  /** A tar of a root file system, plain or compressed with gzip, zstd, xz or bzip2; consumed. */
  readonly source: Readable;
  /** Name of the source in messages and in the history. */
  readonly sourceName: string;
}

/** Result of an import. */
export interface ImportResult extends NewImageResult {
  /** Bytes of the layer's blob. */
  readonly bytes: number;
  readonly entries: number;
}

type ImportDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'>;

/**
 * Creates an image with a tar as its only layer, for this machine's platform. The tar becomes the blob unchanged. An
 * error leaves nothing behind. Throws LayerFormatError, UnsupportedMediaTypeError, PathEscapeError (a bad tar),
 * UsageError, DiskSpaceError, AbortError.
 */
export async function importImage(deps: ImportDeps, request: ImportRequest): Promise<ImportResult> {
  checkNewName(request.reference);
  const execution = await withConfigChanges({}, request.changes);
  const blobs = new NewBlobs();
  const store = await lockStore(deps, request);
  try {
    await sweepStore(deps);
    const layer = await keepingReserve(deps, request, (signal) => makeLayer(deps, { ...request, signal }, blobs));
    return await makeImage(deps, { request, execution, layer });
  } finally {
    store.release();
    await blobs.drop(deps);
  }
}

async function makeLayer(deps: ImportDeps, request: ImportRequest, blobs: NewBlobs): Promise<LayerPlan> {
  const { source, sourceName: name, signal } = request;
  const applier = await deps.createApplier();
  try {
    return await unpackTar(deps, applier, { source, name, parent: undefined, blobs, signal });
  } finally {
    await applier.close();
  }
}

async function makeImage(
  deps: ImportDeps,
  {
    request,
    execution,
    layer,
  }: { readonly request: ImportRequest; readonly execution: ExecutionConfig; readonly layer: LayerPlan },
): Promise<ImportResult> {
  const created = createdAt(request.sourceDateEpoch);
  const created_by = ['imgtool import', ...request.changes].join('; ');
  const comment = request.message ?? `Imported from ${request.sourceName}`;
  const config = {
    created,
    ...hostPlatform(),
    config: execution,
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created, created_by, comment }],
  };
  const image = await writeImage(deps, { config: Buffer.from(JSON.stringify(config)), steps: [layer] });
  const name = request.reference === undefined ? undefined : formatReference(request.reference);
  await syncLayers(deps);
  const { id, manifest } = await recordImage(deps, image, { name, signal: request.signal });
  const { entries } = (await deps.metadata.layers.get(digestHex(layer.chainId)))!;
  return { id, name, digest: manifest.digest, bytes: layer.blob.size, entries };
}
