import type { ContainerRecord, ImageRecord, LayerRecord } from '../../metadata/index.js';
import type { ChainId } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** Sizes of layers, and of the images that use them. All sizes are bytes of uncompressed tar. */
export class LayerSizes {
  readonly #layers: ReadonlyMap<ChainId, LayerRecord>;
  readonly #images = new Map<ChainId, number>();

  constructor(layers: readonly LayerRecord[], images: readonly ImageRecord[]) {
    this.#layers = new Map(layers.map((layer) => [layer.chainId, layer]));
    // An image may have several records.
    for (const { chainIds } of new Map(images.map((image) => [image.id, image])).values()) {
      for (const chainId of chainIds) this.#images.set(chainId, (this.#images.get(chainId) ?? 0) + 1);
    }
  }

  /** Size of a layer; 0 without a record. */
  of(chainId: ChainId): number {
    return this.#layers.get(chainId)?.size ?? 0;
  }

  /** Size of all layers of an image. */
  total({ chainIds }: Pick<ImageRecord, 'chainIds'>): number {
    return sum(chainIds.map((chainId) => this.of(chainId)));
  }

  /** Size of the layers that no other image has, which removing the image would free. */
  exclusive({ chainIds }: Pick<ImageRecord, 'chainIds'>): number {
    return sum(chainIds.filter((chainId) => this.#images.get(chainId) === 1).map((chainId) => this.of(chainId)));
  }

  /** Size of the layer `top` and all layers below. */
  below(top: ChainId | undefined): number {
    let size = 0;
    for (let next = top; next !== undefined; next = this.#layers.get(next)?.parent) size += this.of(next);
    return size;
  }

  /** The record of a layer. */
  record(chainId: ChainId): LayerRecord | undefined {
    return this.#layers.get(chainId);
  }
}

/** All records of the store, read once. */
export interface StoreRecords {
  readonly images: readonly ImageRecord[];
  readonly layers: readonly LayerRecord[];
  readonly containers: readonly ContainerRecord[];
}

/** Reads all records. Takes no lock. */
export async function readRecords({ metadata }: Pick<OperationDeps, 'metadata'>): Promise<StoreRecords> {
  const [images, layers, containers] = await Promise.all([
    metadata.images.list(),
    metadata.layers.list(),
    metadata.containers.list(),
  ]);
  return { images, layers, containers };
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
