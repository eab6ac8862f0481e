import { InvalidManifestError, UnsupportedMediaTypeError } from '../../errors.js';
import {
  composeV1Images,
  hostPlatform,
  isConfigType,
  isLayerType,
  MAX_V1_ANCESTRY,
  MEDIA_TYPE,
  parseImageConfig,
  parseManifest,
  parseV1Image,
  platformScore,
  type Descriptor,
  type Digest,
  type ImageManifest,
  type RawManifest,
} from '../../spec/index.js';
import type { RegistryStorage } from '../types.js';
import type { ServedLayer, ServedV1Image, StoredV1Image } from './types.js';

/** A config is read into memory. Bytes. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;
const LAYER_TYPE = {
  gzip: MEDIA_TYPE.ociLayerGzip,
  zstd: MEDIA_TYPE.ociLayerZstd,
  none: MEDIA_TYPE.ociLayer,
  // Unknown to manifests: made anew when the image becomes one of today.
  xz: 'application/x-xz',
  bzip2: 'application/x-bzip2',
} as const;

/** A manifest of a repository, and the images it is made of: root first, none for what is no image. */
interface Composed {
  readonly repository: string;
  readonly manifest: Digest;
  readonly images: readonly ServedV1Image[];
}

/**
 * Everything in a storage as images of protocol v1: those that were pushed so, and the layers of images of today, which get
 * the IDs that Docker gives them. Keeps what it has worked out, as long as the manifest is there.
 */
export class V1Images {
  readonly #storage: RegistryStorage;
  /** By `keyOf`. */
  readonly #composed = new Map<string, Composed>();
  readonly #modern = new Map<string, { readonly image: ServedV1Image; readonly of: Composed }>();
  #scan: Promise<void> | undefined;

  constructor(storage: RegistryStorage) {
    this.#storage = storage;
  }

  /** A complete image; undefined when there is none, `'in progress'` while it is being pushed. */
  async find(id: string): Promise<ServedV1Image | 'in progress' | undefined> {
    const stored = await this.#storage.v1?.find(id);
    if (stored?.complete === true) return this.#served(id, stored);
    const known = await this.#findModern(id);
    if (known !== undefined) return known;
    // What was begun was not there as an image of today either.
    if (stored !== undefined) return 'in progress';
    await this.#scanAll();
    return this.#findModern(id);
  }

  /** An image and all below it, root first; undefined when one is missing or incomplete. */
  async chain(id: string): Promise<readonly ServedV1Image[] | undefined> {
    const chain: ServedV1Image[] = [];
    for (let next: string | undefined = id; next !== undefined;) {
      const image: ServedV1Image | 'in progress' | undefined = await this.find(next);
      if (image === undefined || image === 'in progress' || chain.length === MAX_V1_ANCESTRY) return undefined;
      chain.unshift(image);
      next = image.parent;
    }
    return chain;
  }

  /** The tags of a repository that lead to images, each with its ID; undefined when it holds no manifest. */
  async tags(repository: string): Promise<ReadonlyMap<string, string> | undefined> {
    const tags = await this.#storage.tags(repository);
    if (tags === undefined) return undefined;
    const found = new Map<string, string>();
    for (const tag of tags) {
      const id = await this.tag(repository, tag);
      if (id !== undefined) found.set(tag, id);
    }
    return found;
  }

  /** The image that a tag leads to: the one that was pushed so, or the top of an image of today. */
  async tag(repository: string, tag: string): Promise<string | undefined> {
    const manifest = await this.#storage.findManifest(repository, { tag });
    if (manifest === undefined) return undefined;
    const pushed = await this.#storage.v1?.imageOf(repository, manifest.descriptor.digest);
    if (pushed !== undefined && (await this.#storage.v1!.find(pushed))?.complete === true) return pushed;
    return (await this.#compose(repository, manifest)).at(-1)?.id;
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

  /** A layer of an image of today that is known; forgets it when its manifest is gone. */
  async #findModern(id: string): Promise<ServedV1Image | undefined> {
    for (let known = this.#modern.get(id); known !== undefined; known = this.#modern.get(id)) {
      const { image, of } = known;
      const top = of.images.at(-1)!.modern!;
      if ((await this.#storage.findManifest(top.repository, { digest: top.manifest })) !== undefined) return image;
      this.#forget(of);
    }
    return undefined;
  }

  #forget(composed: Composed): void {
    this.#composed.delete(keyOf(composed));
    for (const { id } of composed.images) if (this.#modern.get(id)?.of === composed) this.#modern.delete(id);
  }

  #scanAll(): Promise<void> {
    return (this.#scan ??= this.#readAll().finally(() => (this.#scan = undefined)));
  }

  async #readAll(): Promise<void> {
    for (const repository of await this.#storage.repositories()) {
      for (const tag of (await this.#storage.tags(repository)) ?? []) {
        const manifest = await this.#storage.findManifest(repository, { tag });
        if (manifest !== undefined) await this.#compose(repository, manifest);
      }
    }
  }

  async #compose(repository: string, raw: RawManifest): Promise<readonly ServedV1Image[]> {
    const manifest = raw.descriptor.digest;
    const known = this.#composed.get(keyOf({ repository, manifest }));
    if (known !== undefined) {
      // An image that went with another repository is to be found in this one again.
      this.#remember(known);
      return known.images;
    }
    const images = await this.#composeAnew(repository, raw);
    // A child that is not here yet may come.
    if (images === undefined) return [];
    this.#remember({ repository, manifest, images });
    return images;
  }

  #remember(composed: Composed): void {
    this.#composed.set(keyOf(composed), composed);
    for (const image of composed.images)
      if (!this.#modern.has(image.id)) this.#modern.set(image.id, { image, of: composed });
  }

  async #composeAnew(repository: string, raw: RawManifest): Promise<readonly ServedV1Image[] | undefined> {
    try {
      const resolved = await this.#resolve(repository, raw);
      if (resolved === undefined) return undefined;
      const { manifest, digest } = resolved;
      if (!isConfigType(manifest.config.mediaType) || !manifest.layers.every((layer) => isLayerType(layer.mediaType)))
        return [];
      const config = await this.#readBlob(repository, manifest.config);
      if (config === undefined) return undefined;
      const diffIds = parseImageConfig(config, 'the config').rootfs.diff_ids;
      if (diffIds.length !== manifest.layers.length) return [];
      const images = composeV1Images(config);
      return images.map(({ id, parent, bytes }, i): ServedV1Image => {
        const blob = manifest.layers[i];
        const layer =
          blob === undefined
            ? {}
            : { layer: { blob, diffId: diffIds[i]!, open: () => this.#storage.openBlob(repository, blob.digest) } };
        const modern = i === images.length - 1 ? { modern: { repository, manifest: digest } } : {};
        return { id, parent, json: bytes, ...layer, ...modern };
      });
    } catch (error) {
      // Not an image, or a broken one: nothing that v1 could show.
      if (error instanceof InvalidManifestError || error instanceof UnsupportedMediaTypeError) return [];
      throw error;
    }
  }

  /** The manifest of one platform: this machine's, else the first there is. */
  async #resolve(
    repository: string,
    raw: RawManifest,
  ): Promise<{ readonly manifest: ImageManifest; readonly digest: Digest } | undefined> {
    const document = parseManifest(raw.bytes, raw.descriptor.mediaType, raw.descriptor.digest);
    if (document.kind === 'manifest') return { manifest: document, digest: raw.descriptor.digest };
    const host = hostPlatform();
    const score = ({ platform }: Descriptor): number => (platform === undefined ? 0 : platformScore(host, platform));
    const [best] = [...document.manifests].sort((a, b) => score(b) - score(a));
    const child = best && (await this.#storage.findManifest(repository, { digest: best.digest }));
    if (child === undefined) return undefined;
    const manifest = parseManifest(child.bytes, child.descriptor.mediaType, child.descriptor.digest);
    return manifest.kind === 'manifest' ? { manifest, digest: child.descriptor.digest } : undefined;
  }

  async #readBlob(repository: string, { digest, size }: Descriptor): Promise<Buffer | undefined> {
    if (size > MAX_CONFIG_BYTES) return undefined;
    const blob = await this.#storage.openBlob(repository, digest);
    if (blob === undefined) return undefined;
    try {
      return await blob.handle.readFile();
    } finally {
      await blob.handle.close();
    }
  }
}

function keyOf({ repository, manifest }: Pick<Composed, 'repository' | 'manifest'>): string {
  return `${repository}@${manifest}`;
}
