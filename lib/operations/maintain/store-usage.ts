import type { SpaceReport } from '../../snapshot/index.js';
import type { OperationDeps } from '../deps.js';
import { readBuildCache } from './build-garbage.js';
import { type ImageSummary, LayerSizes, listImages, readRecords, sum, unrecordedLayers } from '../store/index.js';

/** Contents and free space of the store; layers in bytes of uncompressed tar, blobs as stored. */
export interface StoreUsage {
  readonly images: readonly ImageSummary[];
  readonly containers: number;
  readonly layers: {
    readonly count: number;
    readonly size: number;
    /** Size of layers that several images share. */
    readonly sharedSize: number;
    /** Size of layers that only one image has. */
    readonly exclusiveSize: number;
    /** Number of layer subvolumes without a record, left by killed processes. Not included elsewhere; gc removes them. */
    readonly unrecorded: number;
    /** Size of layers without an image, kept by a container or an interrupted pull. */
    readonly unreferencedSize: number;
  };
  /** Results of build steps, and cache mounts: bytes of file contents that they do not share. */
  readonly buildCache: {
    readonly steps: number;
    readonly stepSize: number;
    readonly mounts: number;
    readonly mountSize: number;
  };
  readonly blobs: { readonly count: number; readonly size: number };
  readonly space: SpaceReport;
}

/** Computes the usage. Takes no lock. */
export async function storeUsage(deps: Pick<OperationDeps, 'metadata' | 'content' | 'snapshots'>): Promise<StoreUsage> {
  const { images, layers, containers } = await readRecords(deps);
  const sizes = new LayerSizes(layers, images);
  const holders = new Map<string, number>();
  for (const { chainIds } of new Map(images.map((image) => [image.id, image])).values())
    for (const id of chainIds) holders.set(id, (holders.get(id) ?? 0) + 1);
  const sizeOf = (wanted: (count: number) => boolean): number =>
    sum(layers.filter(({ chainId }) => wanted(holders.get(chainId) ?? 0)).map(({ chainId }) => sizes.of(chainId)));
  let [count, size] = [0, 0];
  for await (const blob of deps.content.list()) {
    count += 1;
    size += blob.size;
  }
  const cache = await readBuildCache(deps);
  return {
    images: await listImages(deps),
    containers: containers.length,
    layers: {
      count: layers.length,
      size: sizeOf(() => true),
      sharedSize: sizeOf((images) => images > 1),
      exclusiveSize: sizeOf((images) => images === 1),
      unrecorded: (await unrecordedLayers(deps)).length,
      unreferencedSize: sizeOf((images) => images === 0),
    },
    buildCache: {
      steps: cache.steps.length,
      stepSize: sum(cache.steps.map((step) => step.size)),
      mounts: cache.caches.length,
      mountSize: sum(cache.caches.map((mount) => mount.size)),
    },
    blobs: { count, size },
    space: await deps.snapshots.space(),
  };
}
