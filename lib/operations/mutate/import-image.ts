import type { Readable } from 'node:stream';
import { applyConfigChanges } from '../../dockerfile/index.js';
import {
  digestHex,
  formatPlatform,
  formatReference,
  hostPlatform,
  MEDIA_TYPE,
  type Digest,
  type ExecutionConfig,
  type Reference,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { keepingReserve, type LayerStep, unpackTar } from '../layers/index.js';
import {
  createdAt,
  dropUnusedBlobs,
  lockStore,
  putDocument,
  recordImage,
  sweepStore,
  syncLayers,
} from '../store/index.js';
import { requireName } from './derive-image.js';

/** What to make an image of and how. */
export interface ImportRequest {
  /** A tar of a root file system, plain or compressed with gzip, zstd, xz or bzip2; consumed. */
  readonly source: Readable;
  /** What the source is called in messages and in the history. */
  readonly sourceName: string;
  /** Name of the new image; without it the image has an ID only. */
  readonly reference?: Reference | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions, applied in order. */
  readonly changes: readonly string[];
  /** Seconds since 1970: no date of the config is newer. */
  readonly sourceDateEpoch?: number | undefined;
  /** Bytes to leave free on the store's file system; else 1 GiB, or half of the room when there is less than 2 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/** Result of an import. */
export interface ImportResult {
  readonly id: Digest;
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
  /** Bytes of the layer's blob. */
  readonly bytes: number;
  readonly entries: number;
}

type ImportDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'>;

/**
 * Makes an image of one layer of a tar, for the platform of this machine. The blob of the layer is the tar as it came.
 * Throws LayerFormatError, UnsupportedMediaTypeError, PathEscapeError (a bad tar), UsageError, DiskSpaceError, AbortError;
 * nothing is left then.
 */
export async function importImage(deps: ImportDeps, request: ImportRequest): Promise<ImportResult> {
  requireName(request.reference);
  const execution = applyConfigChanges({}, request.changes);
  const made: Digest[] = [];
  const store = await lockStore(deps, request);
  try {
    await sweepStore(deps);
    const layer = await keepingReserve(deps, request, (signal) => makeLayer(deps, { ...request, signal }, made));
    return await makeImage(deps, { request, execution, layer });
  } finally {
    store.release();
    await dropUnusedBlobs(deps, made);
  }
}

async function makeLayer(deps: ImportDeps, request: ImportRequest, made: Digest[]): Promise<LayerStep> {
  const { source, sourceName: name, bootId, signal } = request;
  const applier = await deps.createApplier();
  try {
    return await unpackTar(deps, applier, { source, name, parent: undefined, made, bootId, signal });
  } finally {
    await applier.close();
  }
}

async function makeImage(
  deps: ImportDeps,
  {
    request,
    execution,
    layer: { blob, diffId, chainId },
  }: { readonly request: ImportRequest; readonly execution: ExecutionConfig; readonly layer: LayerStep },
): Promise<ImportResult> {
  const created = createdAt(request.sourceDateEpoch);
  const platform = hostPlatform();
  const config = await putDocument(
    deps,
    {
      created,
      ...platform,
      config: execution,
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [
        {
          created,
          created_by: ['imgtool import', ...request.changes].join('; '),
          comment: request.message ?? `Imported from ${request.sourceName}`,
        },
      ],
    },
    MEDIA_TYPE.ociConfig,
  );
  const layers = [blob];
  const manifest = await putDocument(
    deps,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers },
    MEDIA_TYPE.ociManifest,
  );
  const name = request.reference === undefined ? undefined : formatReference(request.reference);
  const image = {
    id: config.digest,
    manifest,
    config,
    layers,
    diffIds: [diffId],
    chainIds: [chainId],
    created,
    platform: formatPlatform(platform),
  };
  await syncLayers({ ...deps, bootId: request.bootId });
  const { id } = await recordImage(deps, image, { name, signal: request.signal });
  const { entries } = (await deps.metadata.layers.get(digestHex(chainId)))!;
  return { id, name, digest: manifest.digest, bytes: blob.size, entries };
}
