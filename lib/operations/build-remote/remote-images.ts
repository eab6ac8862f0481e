import { UsageError } from '../../errors.js';
import type { TagOrDigest } from '../../registry/index.js';
import type { FileTree } from '../../rootfs/index.js';
import {
  formatPlatform,
  MAX_CONFIG_BYTES,
  parsePlatform,
  parseReference,
  parseTransportName,
  type ImageConfig,
  type ImageSelector,
  type ImageSource,
  type Platform,
  type Reference,
} from '../../spec/index.js';
import { withSubject } from '../../util/index.js';

import { describeImage, type LayerPlan } from '../layers/index.js';
import { openRegistrySource, readSourceBlob, resolveImage } from '../registry/index.js';
import { LayerIndexes, type RemoteLayer } from './layer-indexes.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

/** An image whose documents were read; its layers stay where they are. */
export interface RemoteImage {
  readonly name: string;
  readonly source: ImageSource;
  readonly config: ImageConfig;
  /** Oldest first. */
  readonly layers: readonly LayerPlan[];
  /** Its files; each layer that no index is kept of is streamed once. */
  tree(): Promise<FileTree>;
}

/** The images that stages begin with or copy from, each looked up once. */
export class RemoteImages {
  readonly #deps: RemoteBuildDeps;
  readonly #request: Pick<RemoteBuildRequest, 'platform' | 'signal'>;
  readonly #indexes: LayerIndexes;
  readonly #found = new Map<string, Promise<RemoteImage>>();
  readonly #sources: ImageSource[] = [];

  constructor(deps: RemoteBuildDeps, request: Pick<RemoteBuildRequest, 'platform' | 'signal'>) {
    this.#deps = deps;
    this.#request = request;
    this.#indexes = new LayerIndexes(deps);
  }

  /** `platform`: of FROM, as text. Throws NotFoundError and what the source throws. */
  find(name: string, platform?: string): Promise<RemoteImage> {
    const wanted = platform === undefined ? this.#request.platform : parsePlatform(platform);
    const key = `${formatPlatform(wanted)} ${name}`;
    let image = this.#found.get(key);
    if (image === undefined) {
      image = this.#look(name, wanted).catch((error: unknown) => {
        throw withSubject(error, 'image', name);
      });
      this.#found.set(key, image);
      image.catch(() => undefined);
    }
    return image;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#found.values());
    await this.#indexes.close();
    for (const source of this.#sources) await source.close();
  }

  async #look(name: string, platform: Platform): Promise<RemoteImage> {
    const { signal } = this.#request;
    const { source, selector, reference } = await this.#open(name);
    this.#sources.push(source);
    const reader = { manifest: (asked: ImageSelector) => source.manifest(asked, { signal }) };
    // An empty selector is the only image of a layout.
    const resolved = await resolveImage(reader, selector as TagOrDigest, { platform, signal });
    const query = { reference, platform, platformGiven: true, signal };
    const { config, steps } = await describeImage(resolved, query, {
      readConfig: (descriptor) => readSourceBlob(source.blob(descriptor), { maxBytes: MAX_CONFIG_BYTES, signal }),
      onNote: (line) => this.#deps.progress.note(line),
    });
    let tree: Promise<FileTree> | undefined;
    return { name, source, config, layers: steps, tree: () => (tree ??= this.#tree(source, steps)) };
  }

  async #open(name: string): Promise<{
    readonly source: ImageSource;
    readonly selector: ImageSelector;
    readonly reference: Reference;
  }> {
    const { signal } = this.#request;
    if (name.startsWith('oci:')) {
      const place = parseTransportName(name);
      if (place.transport !== 'oci') throw new UsageError(`${name} is no OCI layout`);
      const source = await this.#deps.openSource(place, { signal });
      return { source, selector: { tag: place.tag }, reference: parseReference('localhost/layout') };
    }
    const reference = parseReference(await this.#deps.fullName(name));
    const registry = this.#deps.sourceRegistry ?? this.#deps.registry;
    const source = await openRegistrySource(registry, reference, { signal });
    return { source, selector: { tag: reference.tag, digest: reference.digest }, reference };
  }

  async #tree(source: ImageSource, steps: readonly LayerPlan[]): Promise<FileTree> {
    const { signal } = this.#request;
    const layers = steps.map(({ blob, diffId }): RemoteLayer => ({ blob: source.blob(blob), diffId }));
    const indexes = await Promise.all(layers.map((layer) => this.#indexes.index(layer, signal)));
    return this.#deps.openLayers(
      layers.map((layer, i) => ({ index: indexes[i]!, data: () => this.#indexes.contents(layer, signal) })),
    );
  }
}
