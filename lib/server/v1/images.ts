import { composeV1Images, MAX_V1_ANCESTRY, MEDIA_TYPE, parseV1Image, type Digest } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import type { RegistryStorage } from '../types.js';
import { ImageIndex, tagDigests, type Place } from './image-index.js';
import { readV2Image } from './v2-image.js';
import type { ServedLayer, ServedV1Image, StoredV1Image } from './types.js';

const LAYER_TYPE = {
  gzip: MEDIA_TYPE.ociLayerGzip,
  zstd: MEDIA_TYPE.ociLayerZstd,
  none: MEDIA_TYPE.ociLayer,
  // Not valid in manifests: converted when the image becomes a v2 image.
  xz: 'application/x-xz',
  bzip2: 'application/x-bzip2',
} as const;

/** Manifests and images read concurrently for one response. */
const PARALLEL_READS = 8;
/** Maximum size of the cached JSONs, in bytes. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024;
/** Maximum size of the JSONs of one image and its ancestors, in bytes. */
const MAX_CHAIN_BYTES = 16 * 1024 * 1024;
/** Approximate memory of an image besides its JSON, in bytes. */
const IMAGE_BYTES = 1024;

/** An image in the list of a repository. */
type ListedV1Image = Pick<ServedV1Image, 'id' | 'payloadChecksum'>;

interface Composed {
  /** Root first; empty when it is not an image. */
  readonly images: readonly ServedV1Image[];
  readonly bytes: number;
}

/**
 * Presents everything in a storage as images of protocol v1: images pushed over v1, and the layers of v2 images with
 * the IDs that Docker gives them.
 */
export class V1Images {
  readonly #storage: RegistryStorage;
  readonly #index: ImageIndex;
  /** By repository and digest; the least recently used first. */
  readonly #composed = new Map<string, Composed>();
  #keptBytes = 0;

  constructor(storage: RegistryStorage) {
    this.#storage = storage;
    this.#index = new ImageIndex(storage);
  }

  /** A complete image; undefined when there is none, `'in progress'` while it is being pushed. */
  async find(id: string): Promise<ServedV1Image | 'in progress' | undefined> {
    const found = await this.#find(id);
    return typeof found === 'object' ? found[0] : found;
  }

  /**
   * An image and its ancestors, root first. Undefined when one is missing or incomplete, or when there are more images
   * or JSON than any client creates.
   */
  async chain(id: string): Promise<readonly ServedV1Image[] | undefined> {
    const chain: ServedV1Image[] = [];
    let bytes = 0;
    for await (const image of this.#downFrom(id)) {
      bytes += image?.json.length ?? 0;
      if (image === undefined || chain.length === MAX_V1_ANCESTRY || bytes > MAX_CHAIN_BYTES) return undefined;
      chain.push(image);
    }
    return chain.reverse();
  }

  /** Images and their ancestors without JSON, each once and after its parent. Omits missing and incomplete ones. */
  async withAncestors(ids: readonly string[]): Promise<readonly ListedV1Image[]> {
    const seen = new Set<string>();
    const found: ListedV1Image[] = [];
    for (const top of ids) {
      const branch: ListedV1Image[] = [];
      for await (const image of this.#downFrom(top)) {
        if (image === undefined || seen.has(image.id)) break;
        seen.add(image.id);
        const { payloadChecksum } = image;
        branch.push({ id: image.id, ...(payloadChecksum === undefined ? {} : { payloadChecksum }) });
      }
      found.push(...branch.reverse());
    }
    return found;
  }

  /** The tags of a repository that point to images, with their IDs; undefined when it has no manifest. */
  async tags(repository: string): Promise<ReadonlyMap<string, string> | undefined> {
    const tags = await this.#storage.tags(repository);
    if (tags === undefined) return undefined;
    const digests = await tagDigests(this.#storage, repository, tags);
    const distinct = [...new Set(digests.filter((digest) => digest !== undefined))];
    const ids = await mapLimited(distinct, PARALLEL_READS, (digest) => this.#idOf(repository, digest));
    const idOf = new Map(distinct.map((digest, i) => [digest, ids[i]]));
    const idOfTag = (i: number): string | undefined => (digests[i] === undefined ? undefined : idOf.get(digests[i]));
    return new Map(
      tags.flatMap((tag, i): [string, string][] => {
        const id = idOfTag(i);
        return id === undefined ? [] : [[tag, id]];
      }),
    );
  }

  /** The image of a tag: one pushed over v1, or the top layer of a v2 image. */
  async tag(repository: string, tag: string): Promise<string | undefined> {
    const digest = await this.#storage.tagDigest(repository, tag);
    return digest && this.#idOf(repository, digest);
  }

  async #idOf(repository: string, manifest: Digest): Promise<string | undefined> {
    const pushed = await this.#storage.v1?.imageOf(repository, manifest);
    if (pushed !== undefined && (await this.#storage.v1!.find(pushed))?.complete === true) return pushed;
    return (await this.#index.placeOf(repository, manifest))?.top;
  }

  /** An image, then its ancestors; undefined for a missing or incomplete one. Ends when an ID repeats. */
  async *#downFrom(id: string): AsyncGenerator<ServedV1Image | undefined> {
    const seen = new Set<string>();
    for (let next: string | undefined = id; next !== undefined && !seen.has(next);) {
      const found = await this.#find(next);
      if (typeof found !== 'object') {
        yield undefined;
        return;
      }
      yield* found;
      for (const image of found) seen.add(image.id);
      next = found.at(-1)!.parent;
    }
  }

  /** A complete image, and its ancestors as far as they are layers of the same v2 image. */
  async #find(id: string): Promise<ServedV1Image[] | 'in progress' | undefined> {
    const stored = await this.#storage.v1?.find(id);
    if (stored?.complete === true) return [this.#served(id, stored)];
    for await (const place of this.#index.find(id)) {
      const images = await this.#compose(place);
      const at = images.findIndex((each) => each.id === id);
      if (at >= 0) return images.slice(0, at + 1).reverse();
    }
    return stored === undefined ? undefined : 'in progress';
  }

  #served(id: string, { json, layer }: StoredV1Image): ServedV1Image {
    const { parent } = parseV1Image(json, id);
    if (layer === undefined) return { id, parent, json };
    const { digest, size, compression, diffId, payloadChecksum } = layer;
    const served: ServedLayer = {
      blob: { mediaType: LAYER_TYPE[compression], digest, size },
      diffId,
      open: () => this.#storage.v1!.openLayer(id),
    };
    return { id, parent, json, layer: served, payloadChecksum };
  }

  async #compose({ repository, manifest }: Place): Promise<readonly ServedV1Image[]> {
    const key = `${repository}@${manifest}`;
    const kept = this.#composed.get(key);
    if (kept !== undefined) {
      this.#composed.delete(key);
      this.#composed.set(key, kept);
      return kept.images;
    }
    const image = await readV2Image(this.#storage, repository, manifest);
    if (image === undefined || image === 'no image') return [];
    const { layers, diffIds, config, digest } = image;
    const composed = composeV1Images(config);
    const images = composed.map(({ id, parent, bytes: json }, i): ServedV1Image => {
      const blob = layers[i];
      const layer =
        blob === undefined
          ? {}
          : { layer: { blob, diffId: diffIds[i]!, open: () => this.#storage.openBlob(repository, blob.digest) } };
      const v2 = i === composed.length - 1 ? { v2: { repository, manifest: digest } } : {};
      return { id, parent, json, ...layer, ...v2 };
    });
    this.#keep(key, images);
    return images;
  }

  #keep(key: string, images: readonly ServedV1Image[]): void {
    const bytes = images.reduce((sum, { json }) => sum + json.length + IMAGE_BYTES, 0);
    // A concurrent request may have composed it meanwhile.
    this.#keptBytes += bytes - (this.#composed.get(key)?.bytes ?? 0);
    this.#composed.set(key, { images, bytes });
    for (const [oldest, { bytes: freed }] of this.#composed) {
      if (this.#keptBytes <= MAX_KEPT_BYTES) break;
      this.#composed.delete(oldest);
      this.#keptBytes -= freed;
    }
  }
}
