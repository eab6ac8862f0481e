import { NotFoundError } from '../../errors.js';
import type { V1Repository } from '../../registry/index.js';
import type { Digest, ImageSelector, ImageSource } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import type { ConvertDeps } from '../copy/convert-layers.js';
import type { RegistrySource } from '../copy/registry-transport.js';
import { V1Source } from '../copy/v1-source.js';
import { findTag } from './find-tag.js';
import { imageCreated } from './image-created.js';

interface Signal {
  readonly signal: AbortSignal;
}

/** What a tag names now. */
export interface FoundTag {
  /** Stands for the content: its digest; over protocol v1, which has none, a name of the image at its registry. */
  readonly identity: string;
  /** Undefined over protocol v1. */
  readonly digest: Digest | undefined;
}

/** A repository to mirror, whatever protocol it speaks. Its methods throw what the registry throws. */
export interface SyncSource {
  /** Undefined over protocol v1. */
  readonly modern: RegistrySource | undefined;
  tags(options: Signal): Promise<string[]>;
  /** Undefined: there is no such tag. */
  find(tag: string, options: Signal): Promise<FoundTag | undefined>;
  /** When the image says it was created, ms since 1970; undefined when it does not. */
  created(found: FoundTag, options: Signal): Promise<number | undefined>;
  /** What is to be copied; closed by the caller. */
  open(tag: string, found: FoundTag): { readonly source: ImageSource; readonly selector: ImageSelector };
}

/** A repository over protocol v2. */
export class ModernSyncSource implements SyncSource {
  readonly modern: RegistrySource;

  constructor(source: RegistrySource) {
    this.modern = source;
  }

  async tags(options: Signal): Promise<string[]> {
    const tags: string[] = [];
    for await (const tag of this.modern.tags(options)) tags.push(tag);
    return tags;
  }

  async find(tag: string, { signal }: Signal): Promise<FoundTag | undefined> {
    const found = await findTag(this.modern.reader, tag, signal);
    return found === undefined ? undefined : { identity: found.digest, digest: found.digest };
  }

  created({ digest }: FoundTag, { signal }: Signal): Promise<number | undefined> {
    return imageCreated(this.modern, digest!, signal);
  }

  open(_tag: string, { digest }: FoundTag): { readonly source: ImageSource; readonly selector: ImageSelector } {
    return { source: this.modern, selector: { digest } };
  }
}

/** Images asked for at the same time. */
const PARALLEL_IMAGES = 6;

/** A repository over protocol v1. Tags are asked for once: one request tells the IDs of all. */
export class V1SyncSource implements SyncSource {
  readonly modern = undefined;
  readonly #deps: ConvertDeps;
  readonly #registry: V1Repository;
  #ids: Promise<ReadonlyMap<string, string>> | undefined;

  constructor(deps: ConvertDeps, registry: V1Repository) {
    this.#deps = deps;
    this.#registry = registry;
  }

  async tags(options: Signal): Promise<string[]> {
    return [...(await this.#tags(options)).keys()];
  }

  async find(tag: string, options: Signal): Promise<FoundTag | undefined> {
    const { host, repository } = this.#registry;
    const id = (await this.#tags(options)).get(tag);
    return id === undefined ? undefined : { identity: `v1 ${host}/${repository} ${id}`, digest: undefined };
  }

  async created(found: FoundTag, options: Signal): Promise<number | undefined> {
    const { bytes } = await this.#registry.image(idOf(found), options);
    const created = Date.parse((JSON.parse(bytes.toString('utf8')) as { created?: string }).created ?? '');
    return Number.isNaN(created) ? undefined : created;
  }

  open(tag: string, found: FoundTag): { readonly source: ImageSource; readonly selector: ImageSelector } {
    return { source: new V1Source(this.#deps, this.#registry, idOf(found)), selector: { tag } };
  }

  /** Bytes of the layers of an image, by ID, as far as the registry says. */
  async layerSizes(found: FoundTag, options: Signal): Promise<ReadonlyMap<string, number>> {
    const ids = await this.#registry.ancestry(idOf(found), options);
    const images = await mapLimited(ids, PARALLEL_IMAGES, (id) => this.#registry.image(id, options));
    return new Map(images.map(({ id, layerSize }) => [id, layerSize ?? 0]));
  }

  async #tags(options: Signal): Promise<ReadonlyMap<string, string>> {
    this.#ids ??= this.#registry.tags(options).catch((error: unknown) => {
      if (error instanceof NotFoundError) return new Map<string, string>();
      throw error;
    });
    return this.#ids;
  }
}

function idOf({ identity }: FoundTag): string {
  return identity.slice(identity.lastIndexOf(' ') + 1);
}
