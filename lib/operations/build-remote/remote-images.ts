import { UsageError } from '../../errors.js';
import type { TagOrDigest } from '../../registry/index.js';
import type { FileTree } from '../../rootfs/index.js';
import {
  MAX_CONFIG_BYTES,
  parseReference,
  parseTransportName,
  type ImageConfig,
  type ImageSelector,
  type ImageSource,
  type Platform,
} from '../../spec/index.js';
import { closeAll } from '../../util/index.js';
import { describeImage, ImageLookups, type LayerPlan } from '../layers/index.js';
import { openRegistrySource, readSourceBlob, resolveImage } from '../registry/index.js';
import { LayerIndexes, type RemoteLayer } from './layer-indexes.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

/** An image of which only the documents were read. */
export interface RemoteImage {
  readonly name: string;
  readonly source: ImageSource;
  /** Media type of the manifest. */
  readonly mediaType: string;
  readonly config: ImageConfig;
  /** Oldest first. */
  readonly layers: readonly LayerPlan[];
  /** Parallel to `layers`. */
  readonly blobs: readonly RemoteLayer[];
  /** Its files; streams each layer without a cached index once. */
  tree(): Promise<FileTree>;
}

/** Images outside registries. */
const FILES = /^(?:oci|oci-archive|docker-archive):/;

interface ImagesRequest extends Pick<RemoteBuildRequest, 'platform' | 'signal'> {
  /** False: an image for another platform is only a note. Default: true. */
  readonly platformGiven?: boolean;
}

/** Base images and images that stages copy from, each resolved once. */
export class RemoteImages {
  readonly #deps: RemoteBuildDeps;
  readonly #request: ImagesRequest;
  readonly #indexes: LayerIndexes;
  readonly #lookups: ImageLookups<RemoteImage>;
  readonly #sources: ImageSource[] = [];

  constructor(deps: RemoteBuildDeps, request: ImagesRequest) {
    this.#deps = deps;
    this.#request = request;
    this.#lookups = new ImageLookups(request.platform, (name, platform) => this.#look(name, platform));
    this.#indexes = new LayerIndexes(deps);
  }

  /** `platform`: of FROM, as text. Throws NotFoundError and the errors of the source. */
  find(name: string, platform?: string): Promise<RemoteImage> {
    return this.#lookups.find(name, platform);
  }

  /** The tree of layers, lowest first. Throws the errors of reading them. */
  async treeOf(layers: readonly RemoteLayer[]): Promise<FileTree> {
    const { signal } = this.#request;
    const indexes = await Promise.all(layers.map((layer) => this.#indexes.index(layer, signal)));
    return this.#deps.openLayers(
      layers.map((layer, i) => ({ index: indexes[i]!, data: () => this.#indexes.contents(layer, signal) })),
    );
  }

  /** Caches the indexes of available layers for later builds. Throws the errors of reading them. */
  async keepIndexes(layers: readonly RemoteLayer[]): Promise<void> {
    if (this.#deps.cacheDirectory === undefined) return;
    const { signal } = this.#request;
    for (const layer of layers) await this.#indexes.index(layer, signal);
  }

  async close(): Promise<void> {
    await this.#lookups.settle();
    await closeAll([() => this.#indexes.close(), ...this.#sources.map((source) => () => source.close())]);
  }

  async #look(name: string, platform: Platform): Promise<RemoteImage> {
    const { platformGiven = true, signal } = this.#request;
    const { source, selector } = await this.#open(name);
    this.#sources.push(source);
    const reader = { manifest: (asked: ImageSelector) => source.manifest(asked, { signal }) };
    // An empty selector means the only image of a layout.
    const resolved = await resolveImage(reader, selector as TagOrDigest, { platform, signal });
    const query = { platform, platformGiven };
    const { config, steps } = await describeImage(this.#deps, resolved, query, (descriptor) =>
      readSourceBlob(source.blob(descriptor), { maxBytes: MAX_CONFIG_BYTES, signal }),
    );
    const blobs = steps.map(({ blob, diffId }): RemoteLayer => ({ blob: source.blob(blob), diffId }));
    let tree: Promise<FileTree> | undefined;
    return {
      ...{ name, source, mediaType: resolved.raw.descriptor.mediaType, config, layers: steps, blobs },
      tree: () => (tree ??= this.treeOf(blobs)),
    };
  }

  async #open(name: string): Promise<{ readonly source: ImageSource; readonly selector: ImageSelector }> {
    const { signal } = this.#request;
    if (FILES.test(name)) {
      const place = parseTransportName(name);
      if (!('path' in place)) throw new UsageError(`${name} is no layout and no archive`);
      const source = await this.#deps.openSource(place, { signal });
      return { source, selector: { tag: place.tag } };
    }
    const reference = parseReference(await this.#deps.fullName(name));
    const registry = this.#deps.sourceRegistry ?? this.#deps.registry;
    const source = await openRegistrySource(registry, reference, { signal });
    return { source, selector: { tag: reference.tag, digest: reference.digest } };
  }
}
