import { UsageError } from '../../errors.js';
import type { ContainerRecord, ImageRecord } from '../../metadata/index.js';
import {
  formatReference,
  type Digest,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  type ManifestFormat,
  formatOf,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import {
  type FrozenContainer,
  keepingReserve,
  packIntoStore,
  type RestoreDeps,
  restoreLayers,
  type StoredLayer,
  withFrozen,
} from '../layers/index.js';
import { createdAt, findContainer, imageOfContainer, lockStore, readImageConfig, sweepStore } from '../store/index.js';
import { withConfigChanges } from './config-changes.js';
import { deriveImage, checkNewName } from './derive-image.js';
import type { NewImageResult, NewImageRequest } from './new-image.js';

export interface CommitRequest extends NewImageRequest {
  /** Name, ID or unique prefix of one. */
  readonly container: string;
  /** Format of the manifest. Default: the image's format. */
  readonly format?: ManifestFormat | undefined;
  /** Writes one layer with all files instead of adding one. */
  readonly squash: boolean;
  /** Creates an image even if nothing changed. */
  readonly emptyOk: boolean;
}

/** Result of a commit; sizes in bytes. */
export interface CommitResult extends NewImageResult {
  /** Oldest first; the new layer is `packed`. */
  readonly layers: readonly { readonly digest: Digest; readonly size: number; readonly state: 'packed' | 'present' }[];
  /** Bytes of the new layer's blob. */
  readonly bytes: number;
  readonly seconds: number;
}

type CommitDeps = Pick<OperationDeps, 'compareTrees' | 'packLayer'> &
  RestoreDeps &
  Partial<Pick<OperationDeps, 'runtime'>>;

/**
 * Creates an image from a container: freezes it, packs only the changes, and turns the frozen snapshot itself into the
 * layer, so that nothing is unpacked. The container does not change. The image record is written last, after everything
 * is on disk, so an error publishes nothing. Throws NotFoundError, UsageError (nothing changed), LayerFormatError,
 * SyscallError, DiskSpaceError, AbortError.
 */
export async function commitContainer(deps: CommitDeps, request: CommitRequest): Promise<CommitResult> {
  const started = performance.now();
  const { reference } = request;
  checkNewName(reference);
  const container = await findContainer(deps, request.container);
  const store = await lockStore(deps, request);
  try {
    await sweepStore(deps);
    const base = await imageOfContainer(deps, container);
    if (!request.squash) await restoreLayers(deps, base, request);
    const config = await readImageConfig(deps, base);
    const execution = await withConfigChanges(config.config ?? {}, request.changes);
    const { record, layer } = await keepingReserve(deps, request, (signal) =>
      withFrozen(deps, { id: container.id, signal }, async (frozen) => {
        const made = await makeLayer(deps, { request: { ...request, signal }, container, base, frozen });
        return { record: await makeImage(deps, { request, base, config, execution, layer: made }), layer: made };
      }),
    );
    return {
      id: record.id,
      name: reference === undefined ? undefined : formatReference(reference),
      digest: record.manifest.digest,
      layers: record.layers.map(({ digest, size }) => ({
        digest,
        size,
        state: digest === layer?.blob.digest ? ('packed' as const) : ('present' as const),
      })),
      bytes: layer?.blob.size ?? 0,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    store.release();
  }
}

async function makeLayer(
  deps: CommitDeps,
  {
    request,
    container,
    base,
    frozen,
  }: { request: CommitRequest; container: ContainerRecord; base: ImageRecord; frozen: FrozenContainer },
): Promise<StoredLayer | undefined> {
  const { signal, squash } = request;
  const below = squash ? undefined : container.base;
  const lower = below === undefined ? undefined : deps.snapshots.layerPath(below);
  const changes = await deps.compareTrees({
    lower,
    upper: frozen.path,
    signal,
    onNote: (line) => deps.progress.note(line),
  });
  if (changes.length === 0) {
    if (request.emptyOk || request.changes.length > 0) return undefined;
    throw new UsageError(`nothing has changed in ${container.name} since ${container.imageName}`, {
      hint: 'use --empty-ok to make an image all the same',
    });
  }
  return packIntoStore(deps, {
    below,
    upper: frozen.path,
    key: frozen.key,
    changes,
    format: request.format ?? formatOf(base.manifest.mediaType),
    subject: container.id,
    sourceDateEpoch: request.sourceDateEpoch,
    signal,
  });
}

async function makeImage(
  deps: CommitDeps,
  {
    request,
    base,
    config,
    execution,
    layer,
  }: {
    request: CommitRequest;
    base: ImageRecord;
    config: ImageConfig;
    execution: ExecutionConfig;
    layer: StoredLayer | undefined;
  },
): Promise<ImageRecord> {
  const kept = request.squash && layer !== undefined ? { layers: [], diffIds: [] } : base;
  const layers = layer === undefined ? kept.layers : [...kept.layers, layer.blob];
  const diffIds = layer === undefined ? kept.diffIds : [...kept.diffIds, layer.diffId];
  const created = createdAt(request.sourceDateEpoch);
  const step: HistoryEntry = {
    created,
    created_by: ['imgtool commit', ...request.changes].join('; '),
    ...(request.author === undefined ? {} : { author: request.author }),
    ...(request.message === undefined ? {} : { comment: request.message }),
    ...(layer === undefined ? { empty_layer: true } : {}),
  };
  return deriveImage(deps, {
    base,
    config,
    execution,
    layers,
    diffIds,
    history: request.squash && layer !== undefined ? [step] : [...(config.history ?? []), step],
    author: request.author,
    created,
    reference: request.reference,
    format: request.format,
    signal: request.signal,
  });
}
