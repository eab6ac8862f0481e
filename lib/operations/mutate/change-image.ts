import type { Readable } from 'node:stream';
import { UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { compareText } from '../../util/index.js';
import {
  type ChainId,
  compressionOfType,
  type Descriptor,
  type DiffId,
  type Digest,
  type ExecutionConfig,
  formatOf,
  formatReference,
  type HistoryEntry,
  type ImageConfig,
  layerMediaType,
  nextChainId,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { keepingReserve, packIntoStore, type RestoreDeps, restoreLayers, unpackTar } from '../layers/index.js';
import {
  createdAt,
  NewBlobs,
  findImage,
  lockStore,
  readImageConfig,
  syncLayers,
  sweepStore,
  withWorkKey,
} from '../store/index.js';
import { withConfigChanges } from './config-changes.js';
import { deriveImage, checkNewName } from './derive-image.js';
import type { NewImageResult, NewImageRequest } from './new-image.js';

/** The source image and the changes. */
export interface ImageChangeRequest extends NewImageRequest {
  /** Name, ID or unique prefix of one. */
  readonly image: string;
}

export interface ChangedImage extends NewImageResult {
  readonly layers: readonly { readonly digest: Digest; readonly size: number }[];
}

/** A tar to add to an image as a layer. */
export interface TarToAppend {
  /** Opens it: gzip, zstd or plain; consumed. */
  readonly open: () => Promise<Readable>;
  /** Name in the history. */
  readonly name: string;
}

type ChangeDeps = Pick<OperationDeps, 'compareTrees' | 'packLayer'> & RestoreDeps;

interface Layers {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
}

/** Creates an image with a modified config and the same layers. Throws NotFoundError, UsageError. */
export function mutateImage(deps: ChangeDeps, request: ImageChangeRequest): Promise<ChangedImage> {
  return changeImage(deps, request, ({ base, config, step }) =>
    Promise.resolve({ ...base, history: [...historyOf(config), { ...step('imgtool config'), empty_layer: true }] }),
  );
}

/**
 * Creates an image with one more layer for each tar. The tar becomes the blob unchanged; its whiteouts apply. Throws
 * NotFoundError, UsageError, LayerFormatError, PathEscapeError, UnsupportedMediaTypeError, DiskSpaceError.
 */
export function appendToImage(
  deps: ChangeDeps,
  request: ImageChangeRequest & { readonly tars: readonly TarToAppend[] },
): Promise<ChangedImage> {
  return changeImage(deps, request, async ({ base, config, step, blobs, signal }) => {
    await restoreLayers(deps, base, { ...request, signal });
    const added = await appendTars(deps, { ...request, base, blobs, signal });
    return {
      layers: [...base.layers, ...added.layers],
      diffIds: [...base.diffIds, ...added.diffIds],
      history: [...historyOf(config), ...request.tars.map(({ name }) => step(`imgtool append ${name}`))],
    };
  });
}

/** Creates an image with all files in a single layer. Throws NotFoundError, UsageError, LayerFormatError, DiskSpaceError. */
export function flattenImage(deps: ChangeDeps, request: ImageChangeRequest): Promise<ChangedImage> {
  return changeImage(deps, request, async ({ base, step, signal }) => {
    const { sourceDateEpoch } = request;
    const top = base.chainIds.at(-1);
    if (top === undefined) throw new UsageError('an image without layers has nothing to flatten');
    await restoreLayers(deps, base, { signal });
    const upper = deps.snapshots.layerPath(top);
    return withWorkKey(deps, signal, async (key) => {
      const changes = await deps.compareTrees({ lower: undefined, upper, signal });
      await deps.snapshots.prepare(key, top);
      const format = formatOf(base.manifest.mediaType);
      const tree = { below: undefined, upper, key, changes, format, subject: top, sourceDateEpoch };
      const { blob, diffId } = await packIntoStore(deps, { ...tree, signal });
      return { layers: [blob], diffIds: [diffId], history: [step('imgtool flatten')] };
    });
  });
}

/**
 * Moves the layers that `image` added to its base onto another base. Default for `from`, the old base: the stored image with the most
 * layers in common. Throws NotFoundError, UsageError (no such image), StoreError (a blob is missing), the errors of unpacking.
 */
export function rebaseImage(
  deps: ChangeDeps,
  request: ImageChangeRequest & { readonly onto: string; readonly from: string | undefined },
): Promise<ChangedImage> {
  return changeImage(deps, request, async ({ base, config, step, signal }) => {
    const below = await lowerImage(deps, base, request.from);
    const { record: onto } = await findImage(deps, request.onto);
    const depth = below.chainIds.length;
    const layers = [...onto.layers, ...base.layers.slice(depth)];
    const diffIds = [...onto.diffIds, ...base.diffIds.slice(depth)];
    const chain: ChainId[] = [];
    for (const diffId of diffIds) chain.push(nextChainId(chain.at(-1), diffId));
    await restoreLayers(deps, { ...base, layers, diffIds, chainIds: chain }, { ...request, signal });
    const own = historyOf(config).slice(historyOf(await readImageConfig(deps, below)).length);
    const history = [...historyOf(await readImageConfig(deps, onto)), ...own];
    return { layers, diffIds, history: [...history, { ...step(`imgtool rebase`), empty_layer: true }] };
  });
}

/** The base of the image to rebase. */
async function lowerImage(deps: ChangeDeps, base: ImageRecord, from: string | undefined): Promise<ImageRecord> {
  const isBelow = ({ chainIds }: ImageRecord): boolean =>
    chainIds.length < base.chainIds.length && chainIds.every((chainId, i) => chainId === base.chainIds[i]);
  if (from !== undefined) {
    const { record } = await findImage(deps, from);
    if (isBelow(record)) return record;
    throw new UsageError(`the image is not based on ${from}`, {
      hint: 'list the layers that images share: imgtool tree',
    });
  }
  const candidates = (await deps.metadata.images.list()).filter((image) => image.chainIds.length > 0 && isBelow(image));
  const [nearest] = candidates.sort((a, b) => b.chainIds.length - a.chainIds.length || compareText(a.id, b.id));
  if (nearest !== undefined) return nearest;
  throw new UsageError('no image of the store has the lower layers of this one', {
    hint: 'pull the image that it is based on, or name another one with --from',
  });
}

async function appendTars(
  deps: ChangeDeps,
  job: Pick<ImageChangeRequest, 'signal'> & {
    readonly base: ImageRecord;
    readonly tars: readonly TarToAppend[];
    readonly blobs: NewBlobs;
  },
): Promise<Layers> {
  const { base, blobs, signal } = job;
  const format = formatOf(base.manifest.mediaType);
  const layers: Descriptor[] = [];
  const diffIds: DiffId[] = [];
  let parent = base.chainIds.at(-1);
  const applier = await deps.createApplier();
  try {
    for (const tar of job.tars) {
      const source = await tar.open();
      const step = await unpackTar(deps, applier, { source, name: tar.name, parent, blobs, signal });
      const { mediaType, digest, size } = step.blob;
      layers.push({ mediaType: layerMediaType(format, compressionOfType(mediaType), ''), digest, size });
      diffIds.push(step.diffId);
      parent = step.chainId;
    }
    await syncLayers(deps);
  } finally {
    await applier.close();
  }
  return { layers, diffIds };
}

/** The changed config and its history entry. Throws UsageError. */
export async function describeChange(
  config: ImageConfig,
  {
    changes,
    author,
    message,
    sourceDateEpoch,
  }: Pick<ImageChangeRequest, 'changes' | 'author' | 'message' | 'sourceDateEpoch'>,
): Promise<{
  readonly execution: ExecutionConfig;
  /** RFC 3339. */
  readonly created: string;
  readonly step: (createdBy: string) => HistoryEntry;
}> {
  const created = createdAt(sourceDateEpoch);
  return {
    created,
    execution: await withConfigChanges(config.config ?? {}, changes),
    step: (createdBy) => ({
      created,
      created_by: [createdBy, ...changes].join('; '),
      ...(author === undefined ? {} : { author }),
      ...(message === undefined ? {} : { comment: message }),
    }),
  };
}

/** Finds the image, applies the config changes, and records the image with the layers from `make`. */
async function changeImage(
  deps: ChangeDeps,
  request: ImageChangeRequest,
  make: (parts: {
    readonly base: ImageRecord;
    readonly config: ImageConfig;
    readonly step: (createdBy: string) => HistoryEntry;
    /** Receives blobs added to the store. */
    readonly blobs: NewBlobs;
    readonly signal: AbortSignal;
  }) => Promise<Layers & { readonly history: readonly HistoryEntry[] }>,
): Promise<ChangedImage> {
  const { reference, author, signal } = request;
  checkNewName(reference);
  const blobs = new NewBlobs();
  const store = await lockStore(deps, request);
  try {
    await sweepStore(deps);
    const { record: base } = await findImage(deps, request.image);
    const config = await readImageConfig(deps, base);
    const { execution, created, step } = await describeChange(config, request);
    const { layers, diffIds, history } = await keepingReserve(deps, request, (guarded) =>
      make({ base, config, step, blobs, signal: guarded }),
    );
    const record = await deriveImage(deps, {
      ...{ base, config, execution, layers, diffIds, history, author, created, reference, signal },
    });
    return {
      id: record.id,
      name: reference === undefined ? undefined : formatReference(reference),
      digest: record.manifest.digest,
      layers: record.layers.map(({ digest, size }) => ({ digest, size })),
    };
  } finally {
    store.release();
    await blobs.drop(deps);
  }
}

function historyOf({ history }: ImageConfig): readonly HistoryEntry[] {
  return history ?? [];
}
