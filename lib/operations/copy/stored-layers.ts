import type { ImageRecord } from '../../metadata/index.js';
import type { Descriptor, DiffId, Digest, LayerFiles } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { type BlobPlaces, fetchFromPlaces } from '../download/index.js';
import { packFromFiles } from '../layers/index.js';

/** The registry is used only for blobs that are no longer in the store. */
export type StoredLayerDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'snapshots' | 'registry' | 'compareTrees' | 'packLayer' | 'progress'
>;

/** The layers of an image of the local store, as files and as blobs. Requires the store's lock. */
export class StoredLayers implements LayerFiles {
  readonly #deps: StoredLayerDeps;
  readonly #record: ImageRecord;
  readonly #places: BlobPlaces;
  /** Digests of blobs that were fetched only for this purpose. */
  readonly #made: Digest[];
  readonly #lost = new Set<Digest>();

  /** Appends the digests of blobs fetched into the store to `made`. */
  constructor(
    deps: StoredLayerDeps,
    record: ImageRecord,
    { places, made }: { readonly places: BlobPlaces; readonly made: Digest[] },
  ) {
    this.#deps = deps;
    this.#record = record;
    this.#places = places;
    this.#made = made;
  }

  get diffIds(): readonly DiffId[] {
    return this.#record.diffIds;
  }

  /**
   * Records that a blob is no longer at its known places. Returns false when it is not a layer of this image, or was
   * already recorded.
   */
  lose(digest: string): boolean {
    const layer = this.#record.layers.find((blob) => blob.digest === digest);
    if (layer === undefined || this.#lost.has(layer.digest)) return false;
    this.#lost.add(layer.digest);
    return true;
  }

  async where(layer: Descriptor): Promise<'here' | 'elsewhere' | 'lost'> {
    if ((await this.#deps.content.stat(layer.digest)) !== undefined) return 'here';
    return this.#lost.has(layer.digest) || this.#places.of(layer).length === 0 ? 'lost' : 'elsewhere';
  }

  async pathOf(layer: Descriptor, { signal }: { readonly signal: AbortSignal }): Promise<string | undefined> {
    const where = await this.where(layer);
    if (where === 'lost') return undefined;
    if (where === 'elsewhere') {
      if (!(await fetchFromPlaces(this.#deps, layer, { places: this.#places, signal }))) return undefined;
      this.#made.push(layer.digest);
    }
    return this.#deps.content.path(layer.digest);
  }

  pack(position: number, options: Parameters<LayerFiles['pack']>[1]): ReturnType<LayerFiles['pack']> {
    return packFromFiles(this.#deps, { record: this.#record, position }, options);
  }
}
