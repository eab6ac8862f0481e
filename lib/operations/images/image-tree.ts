import type { Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { findAmong, LayerSizes, namesOf, readRecords } from '../store/index.js';

/** A layer of an image and the images that share it; sizes in bytes of uncompressed tar. */
export interface TreeLayer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly size: number;
  readonly entries: number;
  /** Names (or IDs) of other images with this layer. */
  readonly sharedWith: readonly string[];
  /** Names of containers created from exactly this layer. */
  readonly containers: readonly string[];
}

/** An image as a stack of layers, oldest first. */
export interface ImageTree {
  readonly id: Digest;
  readonly names: readonly string[];
  readonly size: number;
  readonly exclusiveSize: number;
  readonly layers: readonly TreeLayer[];
}

/** The layers of a local image and their other users. Takes no lock. Throws NotFoundError, UsageError. */
export async function imageTree(deps: Pick<OperationDeps, 'metadata'>, input: string): Promise<ImageTree> {
  const { images, layers, containers } = await readRecords(deps);
  const { record } = findAmong(images, input);
  const sizes = new LayerSizes(layers, images);
  return {
    id: record.id,
    names: namesOf(images, record.id),
    size: sizes.total(record),
    exclusiveSize: sizes.exclusive(record),
    layers: record.chainIds.map((chainId, index) => ({
      chainId,
      diffId: record.diffIds[index]!,
      digest: record.layers[index]!.digest,
      size: sizes.of(chainId),
      entries: sizes.record(chainId)?.entries ?? 0,
      sharedWith: images
        .filter((image) => image.id !== record.id && image.chainIds.includes(chainId))
        .map((image) => image.names[0] ?? image.id),
      containers: containers.filter(({ base }) => base === chainId).map(({ name }) => name),
    })),
  };
}
