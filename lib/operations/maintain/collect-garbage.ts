import type { ContentMaintenance, ContentStore, Leftover } from '../../content/index.js';
import type { ContainerRecord, ImageRecord, LayerRecord, UploadRecord } from '../../metadata/index.js';
import { digestHex, type ChainId, type Digest } from '../../spec/index.js';
import { compareText } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { parseV1PartKey } from '../download/index.js';
import { findBuildGarbage, removeBuildGarbage, type BuildGarbage, type BuildGarbageRequest } from './build-garbage.js';
import {
  LayerSizes,
  madeFrom,
  readRecords,
  syncLayers,
  type StoreRecords,
  sum,
  sweepStore,
  unrecordedLayers,
} from '../store/index.js';

export type GarbageDeps = Pick<OperationDeps, 'metadata' | 'snapshots' | 'progress'> & {
  readonly content: ContentStore & ContentMaintenance;
};

/** Limits of the store. */
export interface GarbageRequest extends BuildGarbageRequest {
  /**
   * Limit for layers (bytes of uncompressed tar) and blobs together: images are removed, oldest pull first, until the rest
   * fits. Images that a container uses stay.
   */
  readonly keepBytes?: number | undefined;
  /** Removes layer blobs that a registry has too, if the layer itself is in the store. */
  readonly dropBlobs: boolean;
  /** Changes nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** An abandoned download. The digest of a layer from a v1 registry is not known; `v1Id` and `host` name it. */
export interface StaleDownload {
  readonly digest: Digest | null;
  readonly v1Id?: string;
  readonly host?: string;
  readonly size: number;
}

/** What was removed, or would be; sizes of layers are those of their uncompressed tar. */
export interface Garbage extends BuildGarbage {
  readonly images: readonly { readonly id: Digest; readonly names: readonly string[] }[];
  readonly layers: readonly { readonly chainId: ChainId; readonly size: number }[];
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  /** Downloads that have not grown for a day. */
  readonly downloads: readonly StaleDownload[];
  /** Number of upload sessions older than a week. */
  readonly uploads: number;
  /** Total size. */
  readonly bytes: number;
}

interface Blob {
  readonly digest: Digest;
  readonly size: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const STALE_DOWNLOAD_MS = DAY_MS;
/** No registry keeps upload sessions longer. */
const STALE_UPLOAD_MS = 7 * DAY_MS;

/**
 * Removes layers and blobs that no image and no container needs, what dead processes left (layers without a record and the
 * layers above them), and stale transfers. Waits until no other process works in the store, except in a dry run. Throws
 * StoreError, SyscallError, AbortError.
 */
export async function collectGarbage(deps: GarbageDeps, request: GarbageRequest): Promise<Garbage> {
  const { dryRun, signal } = request;
  const { metadata, snapshots, content, progress } = deps;
  if (!dryRun) metadata.makeRoom();
  const store = await metadata.lock('store', {
    mode: dryRun ? 'shared' : 'exclusive',
    signal,
    onWait: () => progress.note('waiting for other imgtool processes that work in the store'),
  });
  try {
    if (!dryRun) {
      await sweepStore(deps);
      // A layer that a power cut could destroy still needs its blob.
      if (request.dropBlobs) await syncLayers({ metadata, snapshots });
    }
    const build = await findBuildGarbage(deps, request);
    const found = await findGarbage(deps, request);
    if (!dryRun) {
      await removeBuildGarbage(deps, build, signal);
      const { layers, blobs } = found.garbage;
      // Names go before files, so that a crash leaves only garbage for the next run.
      for (const image of found.evicted) await metadata.images.delete(image);
      for (const { chainId } of layers) {
        signal.throwIfAborted();
        await metadata.layers.delete(digestHex(chainId));
        await snapshots.removeLayer(chainId);
      }
      for (const { digest } of blobs) await content.delete(digest);
      for (const leftover of found.leftovers) await content.removeLeftover(leftover);
      for (const { key } of found.uploads) await metadata.uploads.delete(key);
    }
    const { steps, caches } = build.garbage;
    const bytes = found.garbage.bytes + sum([...steps, ...caches].map(({ size }) => size));
    return { ...found.garbage, steps, caches, bytes };
  } finally {
    store.release();
    if (!dryRun) await metadata.keepRoom();
  }
}

async function findGarbage(
  { metadata, snapshots, content }: GarbageDeps,
  { keepBytes, dropBlobs }: GarbageRequest,
): Promise<{
  garbage: Omit<Garbage, keyof BuildGarbage>;
  evicted: readonly ImageRecord[];
  leftovers: readonly Leftover[];
  uploads: readonly UploadRecord[];
}> {
  const [records, unrecorded, uploadRecords] = await Promise.all([
    readRecords({ metadata }),
    unrecordedLayers({ metadata, snapshots }),
    metadata.uploads.list(),
  ]);
  const doubtful = new Set([...unrecorded, ...madeFrom(records.layers, unrecorded)]);
  const stored: Blob[] = [];
  for await (const blob of content.list()) stored.push(blob);
  const leftovers: Leftover[] = [];
  for await (const leftover of content.leftovers())
    if (!leftover.active && leftover.modifiedMs < Date.now() - STALE_DOWNLOAD_MS) leftovers.push(leftover);
  const uploads = uploadRecords.filter(({ begun }) => !(Date.parse(begun) > Date.now() - STALE_UPLOAD_MS));

  // This boot's layers are synced before anything is removed.
  const safe = new Set(
    records.layers.flatMap(({ chainId, sealed, bootId }) =>
      (sealed || bootId === metadata.bootId) && !doubtful.has(chainId) ? chainId : [],
    ),
  );
  const isSafe = dropBlobs ? (layer: ChainId): boolean => safe.has(layer) : (): boolean => false;
  const evicted = keepBytes === undefined ? [] : evictable(records, { stored, isSafe, keepBytes });
  const kept = needed(records, { evicted, isSafe });
  const known = new Set([...records.layers.map(({ chainId }) => chainId), ...unrecorded]);
  const sizes = new LayerSizes(records.layers, records.images);
  const layers = [...known]
    // Layers that may be incomplete are unpacked again when needed.
    .filter((chainId) => !kept.layers.has(chainId) || doubtful.has(chainId))
    .map((chainId) => ({ chainId, size: sizes.of(chainId) }));
  const blobs = stored.filter(({ digest }) => !kept.blobs.has(digest));
  const downloads = leftovers.flatMap(({ digest, key, size }): StaleDownload[] => {
    if (digest !== undefined) return [{ digest, size }];
    const v1 = key === undefined ? undefined : parseV1PartKey(key);
    // An empty download only records its result.
    return v1 === undefined || size === 0 ? [] : [{ digest: null, ...v1, size }];
  });
  const garbage = {
    images: evicted.map(({ id, names }) => ({ id, names })),
    layers,
    blobs,
    downloads,
    uploads: uploads.length,
    bytes: sum([...layers, ...blobs, ...leftovers].map(({ size }) => size)),
  };
  return { garbage, evicted, leftovers, uploads };
}

/** The images to remove, oldest pull first, so that the rest takes at most `keepBytes`. */
function evictable(
  records: StoreRecords,
  options: {
    readonly stored: readonly Blob[];
    readonly isSafe: (layer: ChainId) => boolean;
    readonly keepBytes: number;
  },
): ImageRecord[] {
  const { stored, isSafe, keepBytes } = options;
  const used = new Set(records.containers.map(({ image }) => image));
  const candidates = records.images.filter(({ id }) => !used.has(id)).sort((a, b) => compareText(a.pulled, b.pulled));
  const evicted: ImageRecord[] = [];
  for (const image of candidates) {
    const kept = needed(records, { evicted, isSafe });
    const bytes =
      sum(records.layers.filter(({ chainId }) => kept.layers.has(chainId)).map(({ size }) => size)) +
      sum(stored.filter(({ digest }) => kept.blobs.has(digest)).map(({ size }) => size));
    if (bytes <= keepBytes) break;
    evicted.push(image);
  }
  return evicted;
}

/** Layers and blobs that images and containers need; `isSafe`: layers whose blob may be dropped if a registry has it. */
function needed(
  { images, layers, containers }: StoreRecords,
  { evicted, isSafe }: { readonly evicted: readonly ImageRecord[]; readonly isSafe: (layer: ChainId) => boolean },
): { readonly layers: ReadonlySet<ChainId>; readonly blobs: ReadonlySet<Digest> } {
  const kept = images.filter((image) => !evicted.includes(image));
  const keptLayers = new Set([...kept.flatMap(({ chainIds }) => chainIds), ...basesOf(containers, layers)]);
  const dropped = fetchableBlobs(kept, isSafe);
  const blobs = new Set<Digest>();
  for (const { manifest, config, index } of kept)
    for (const document of [manifest, config, index]) if (document !== undefined) blobs.add(document.digest);
  for (const { digest } of kept.flatMap((image) => image.layers)) if (!dropped.has(digest)) blobs.add(digest);
  for (const { chainId, blob } of layers)
    if (blob !== undefined && keptLayers.has(chainId) && !dropped.has(blob.digest)) blobs.add(blob.digest);
  return { layers: keptLayers, blobs };
}

/** The layers that containers are based on, with all layers below. */
function basesOf(containers: readonly ContainerRecord[], layers: readonly LayerRecord[]): Set<ChainId> {
  const parents = new Map(layers.map(({ chainId, parent }) => [chainId, parent]));
  const bases = new Set<ChainId>();
  for (const { base } of containers)
    for (let next = base; next !== undefined && !bases.has(next); next = parents.get(next)) bases.add(next);
  return bases;
}

/** Layer blobs that a registry is known to have, of layers that are in the store and survive a power cut. */
function fetchableBlobs(images: readonly ImageRecord[], isSafe: (layer: ChainId) => boolean): Set<Digest> {
  const fetchable = new Set<Digest>();
  for (const { layers, sources } of images)
    if (sources.length > 0) for (const { digest } of layers) fetchable.add(digest);
  for (const { layers, chainIds } of images)
    layers.forEach(({ digest }, i) => {
      if (!isSafe(chainIds[i]!)) fetchable.delete(digest);
    });
  return fetchable;
}
