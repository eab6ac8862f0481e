import {
  formatOf,
  layerInFormat,
  layerMediaType,
  nextChainId,
  type ChainId,
  type Descriptor,
  type DiffId,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { packIntoStore, type StoredLayer } from '../layers/index.js';
import { isRecorded, withWorkKey } from '../store/index.js';
import type { StepCache } from './step-cache.js';
import type { BuildRequest, StageLayer, StepTree } from './types.js';

type PackDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'compareTrees' | 'packLayer' | 'progress'>;

/** The layers of an image, oldest first. */
export interface PackedLayers {
  readonly blobs: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  /** Digests of the blobs that were packed by this build. */
  readonly packed: ReadonlySet<string>;
}

/** A layer and its chainID. */
interface ChainedLayer extends StoredLayer {
  readonly chainId: ChainId;
}

/** Packs the steps of an image as layers, one after the other, while later steps run. */
export class LayerPacker {
  readonly #deps: PackDeps;
  readonly #cache: StepCache;
  readonly #request: Pick<BuildRequest, 'sourceDateEpoch' | 'signal'>;
  readonly #manifestType: string;
  /** By step key; each step is packed once, on the layers below it. */
  readonly #layers = new Map<string, Promise<ChainedLayer>>();
  readonly #packed = new Set<string>();

  constructor(
    deps: PackDeps,
    options: {
      readonly cache: StepCache;
      readonly request: Pick<BuildRequest, 'sourceDateEpoch' | 'signal'>;
      readonly manifestType: string;
    },
  ) {
    this.#deps = deps;
    this.#cache = options.cache;
    this.#request = options.request;
    this.#manifestType = options.manifestType;
  }

  /**
   * Queues the last of `layers` for packing. `onPacked` gets the size of its blob, unless an earlier build packed it.
   * `finish` throws the errors.
   */
  add(layers: readonly StageLayer[], onPacked: (bytes: number) => void): void {
    const layer = layers.at(-1);
    if (layer?.kind !== 'step') return;
    this.#chain(layers).then(
      ({ blob }) => {
        if (this.#packed.has(blob.digest)) onPacked(blob.size);
      },
      () => undefined,
    );
  }

  /** The packed layers of an image. Throws the errors of packing. */
  async finish(layers: readonly StageLayer[]): Promise<PackedLayers> {
    const chain = await Promise.all(layers.map((_, index) => this.#chain(layers.slice(0, index + 1))));
    return {
      blobs: chain.map(({ blob }) => blob),
      diffIds: chain.map(({ diffId }) => diffId),
      packed: this.#packed,
    };
  }

  /** Waits for packing to end, even if it fails. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#layers.values());
  }

  /** Packs all changes from `below` to `tree` as one layer on `layers`. */
  async squash(
    layers: readonly StageLayer[],
    { tree, below }: { readonly tree: StepTree | undefined; readonly below: StepTree | undefined },
  ): Promise<PackedLayers> {
    const base = await this.finish(layers);
    if (tree === undefined || tree.key === below?.key) return base;
    const chain = layers.length === 0 ? undefined : (await this.#chain(layers)).chainId;
    const { blob, diffId } = await this.#pack({ tree, below, chain });
    this.#packed.add(blob.digest);
    return { blobs: [...base.blobs, blob], diffIds: [...base.diffIds, diffId], packed: this.#packed };
  }

  #chain(layers: readonly StageLayer[]): Promise<ChainedLayer> {
    const layer = layers.at(-1)!;
    const key = layer.kind === 'step' ? layer.tree.key : `${layers.length} ${layer.diffId}`;
    let made = this.#layers.get(key);
    if (made === undefined) {
      const below = layers.length > 1 ? this.#chain(layers.slice(0, -1)) : undefined;
      made = this.#make(layer, below);
      made.catch(() => undefined);
      this.#layers.set(key, made);
    }
    return made;
  }

  async #make(layer: StageLayer, below: Promise<ChainedLayer> | undefined): Promise<ChainedLayer> {
    const chain = (await below)?.chainId;
    const stored =
      layer.kind === 'base'
        ? { blob: layerInFormat(layer.blob, formatOf(this.#manifestType)), diffId: layer.diffId }
        : await this.#ofStep(layer, chain);
    return { ...stored, chainId: nextChainId(chain, stored.diffId) };
  }

  /** The layer of a step on the layers below, packed now if it is new. */
  async #ofStep(
    { tree, below }: Extract<StageLayer, { kind: 'step' }>,
    chain: ChainId | undefined,
  ): Promise<StoredLayer> {
    const { sourceDateEpoch } = this.#request;
    const layer = this.#cache.recordOf(tree)?.layer;
    if (
      layer !== undefined &&
      layer.sourceDateEpoch === sourceDateEpoch &&
      (await this.#deps.content.stat(layer.blob.digest)) !== undefined &&
      (await isRecorded(this.#deps, nextChainId(chain, layer.diffId)))
    ) {
      const mediaType = layerMediaType(formatOf(this.#manifestType), 'gzip', '');
      return { diffId: layer.diffId, blob: { ...layer.blob, mediaType } };
    }
    const stored = await this.#pack({ tree, below, chain });
    this.#packed.add(stored.blob.digest);
    await this.#cache.setLayer(tree.key, {
      ...stored,
      ...(sourceDateEpoch === undefined ? {} : { sourceDateEpoch }),
    });
    return stored;
  }

  async #pack({
    tree,
    below,
    chain,
  }: {
    readonly tree: StepTree;
    readonly below: StepTree | undefined;
    readonly chain: ChainId | undefined;
  }): Promise<StoredLayer> {
    const { snapshots, progress } = this.#deps;
    const { sourceDateEpoch, signal } = this.#request;
    const upper = snapshots.layerPath(tree.subvolume);
    const changes = await this.#deps.compareTrees({
      lower: below === undefined ? undefined : snapshots.layerPath(below.subvolume),
      upper,
      signal,
      onNote: (line) => progress.note(line),
    });
    return withWorkKey(this.#deps, signal, async (key) => {
      await snapshots.prepare(key, tree.subvolume);
      const job = { below: chain, upper, key, changes, format: formatOf(this.#manifestType), subject: tree.key };
      // Steps report their layers themselves.
      const quiet = { event: () => undefined, note: (line: string) => progress.note(line) };
      return packIntoStore({ ...this.#deps, progress: quiet }, { ...job, clampParents: true, sourceDateEpoch, signal });
    });
  }
}
