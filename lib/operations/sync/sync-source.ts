import { DigestMismatchError, NotFoundError } from '../../errors.js';
import type { V1Repository } from '../../registry/index.js';
import {
  hostPlatform,
  isConfigType,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseManifest,
  type Digest,
  type ImageSelector,
  type ImageSource,
  type RawManifest,
  type Abortable,
} from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import { type ConvertDeps, type ConvertImageDeps, Spool } from '../convert/index.js';
import { type CopyEstimate, estimate, type RegistryDestination, V1Source } from '../copy/index.js';
import type { BlobPlaces } from '../download/index.js';
import { choosePlatform, findTag, readBlob, type RegistrySource } from '../registry/index.js';
import type { SyncRun } from './sync-run.js';

/** What a tag names at present. */
export interface FoundTag {
  /** Identifies the content: its digest; over protocol v1, which has none, the name of the image at its registry. */
  readonly identity: string;
  /** Undefined over protocol v1. */
  readonly digest: Digest | undefined;
  /** The manifest or index. Undefined until it is read, and over protocol v1. */
  readonly raw?: RawManifest | undefined;
}

/** The source of a copy. */
interface OpenedTag {
  readonly source: ImageSource;
  readonly selector: ImageSelector;
  readonly top?: RawManifest | undefined;
}

/** A repository to mirror over either protocol. Its methods throw the errors of the registry. */
export interface SyncSource {
  /** Undefined over protocol v1. */
  readonly v2: RegistrySource | undefined;
  tags(options: Abortable): Promise<string[]>;
  /** Undefined when the tag does not exist. */
  find(tag: string, options: Abortable): Promise<FoundTag | undefined>;
  /**
   * Reads the manifest of a tag. If the registry lacks the digest that it has reported, or sends different bytes for
   * it, uses the manifest under the tag, with a warning.
   */
  read(tag: string, found: FoundTag, options: Abortable): Promise<FoundTag>;
  /**
   * The creation time in the config of an image that has been read. Milliseconds since 1970; undefined if it has none.
   */
  created(found: FoundTag, options: Abortable): Promise<number | undefined>;
  /** Opens a tag that has been read. The caller closes the source. */
  open(tag: string, found: FoundTag): OpenedTag;
  /**
   * Estimates the copy of a tag that has been read, without changing anything. Counts a layer shared by several tags
   * once.
   */
  plan(found: FoundTag, options: PlanOptions): Promise<Pick<CopyEstimate, 'bytes' | 'requests'>>;
}

interface PlanOptions extends Abortable {
  /** Returns the part of the tag to copy. */
  readonly selected: () => Promise<RawManifest>;
  readonly destinations: readonly RegistryDestination[];
  readonly known: BlobPlaces;
}

/** A repository over protocol v2. */
export class V2SyncSource implements SyncSource {
  readonly v2: RegistrySource;

  constructor(source: RegistrySource) {
    this.v2 = source;
  }

  async tags(options: Abortable): Promise<string[]> {
    const tags: string[] = [];
    for await (const tag of this.v2.tags(options)) tags.push(tag);
    return tags;
  }

  async find(tag: string, { signal }: Abortable): Promise<FoundTag | undefined> {
    const found = await findTag(this.v2.reader, tag, signal);
    return found === undefined ? undefined : { identity: found.digest, digest: found.digest };
  }

  async read(tag: string, found: FoundTag, { signal }: Abortable): Promise<FoundTag> {
    if (found.raw !== undefined) return found;
    const raw = await this.#manifest(tag, found.digest!, signal);
    const { digest } = raw.descriptor;
    return { identity: digest, digest, raw };
  }

  created({ raw }: FoundTag, { signal }: Abortable): Promise<number | undefined> {
    return imageCreated(this.v2, raw!, signal);
  }

  open(_tag: string, { digest, raw }: FoundTag): OpenedTag {
    return { source: this.v2, selector: { digest }, top: raw };
  }

  async plan(_found: FoundTag, { selected, ...options }: PlanOptions): Promise<CopyEstimate> {
    return estimate(this.v2, await selected(), options);
  }

  async #manifest(tag: string, digest: Digest, signal: AbortSignal): Promise<RawManifest> {
    const { reader } = this.v2;
    try {
      return await reader.manifest({ digest }, { signal });
    } catch (error) {
      if (!(error instanceof NotFoundError || error instanceof DigestMismatchError)) throw error;
      return reader.manifest({ tag }, { signal, claimed: digest });
    }
  }
}

/**
 * The creation time in an image's config. Milliseconds since 1970; undefined if it has none. Throws the errors of the
 * source.
 */
async function imageCreated(
  source: RegistrySource,
  top: RawManifest,
  signal: AbortSignal,
): Promise<number | undefined> {
  let document = parseManifest(top.bytes, top.descriptor.mediaType, `manifest ${top.descriptor.digest}`);
  if (document.kind === 'index') {
    const entries = document.manifests;
    const entry = entries.length === 0 ? undefined : entryFor(document);
    if (entry === undefined) return undefined;
    const raw = await source.manifest({ digest: entry.digest }, { signal });
    document = parseManifest(raw.bytes, raw.descriptor.mediaType, `manifest ${entry.digest}`);
  }
  if (document.kind === 'index' || !isConfigType(document.config.mediaType)) return undefined;
  const bytes = await readBlob(source.reader.blob(document.config), { maxBytes: MAX_CONFIG_BYTES, signal });
  const created = Date.parse(parseImageConfig(bytes, `config ${document.config.digest}`).created ?? '');
  return Number.isNaN(created) ? undefined : created;
}

/** The entry for this machine, or else the first one: all images of an index have about the same age. */
function entryFor(index: Parameters<typeof choosePlatform>[0]): ReturnType<typeof choosePlatform> | undefined {
  try {
    return choosePlatform(index, hostPlatform());
  } catch {
    return index.manifests[0];
  }
}

/** The number of concurrent requests for images. */
const PARALLEL_IMAGES = 6;

/** A repository over protocol v1. Requests the tags once, because one response contains the IDs of all. */
export class V1SyncSource implements SyncSource {
  readonly v2 = undefined;
  readonly #deps: ConvertDeps;
  readonly #registry: V1Repository;
  #ids: Promise<ReadonlyMap<string, string>> | undefined;
  /** IDs of layers that a plan has already counted. */
  readonly #planned = new Set<string>();

  constructor(deps: ConvertDeps, registry: V1Repository) {
    this.#deps = deps;
    this.#registry = registry;
  }

  async tags(options: Abortable): Promise<string[]> {
    return [...(await this.#tags(options)).keys()];
  }

  async find(tag: string, options: Abortable): Promise<FoundTag | undefined> {
    const { host, repository } = this.#registry;
    const id = (await this.#tags(options)).get(tag);
    return id === undefined ? undefined : { identity: `v1 ${host}/${repository} ${id}`, digest: undefined };
  }

  read(_tag: string, found: FoundTag): Promise<FoundTag> {
    return Promise.resolve(found);
  }

  async created(found: FoundTag, options: Abortable): Promise<number | undefined> {
    const { bytes } = await this.#registry.image(idOf(found), options);
    const created = Date.parse((JSON.parse(bytes.toString('utf8')) as { created?: string }).created ?? '');
    return Number.isNaN(created) ? undefined : created;
  }

  open(tag: string, found: FoundTag): OpenedTag {
    return { source: new V1Source(this.#deps, this.#registry, idOf(found)), selector: { tag } };
  }

  /** Layers whose size the registry does not state count as 0. */
  async plan(
    found: FoundTag,
    { destinations, signal }: PlanOptions,
  ): Promise<Pick<CopyEstimate, 'bytes' | 'requests'>> {
    const ids = await this.#registry.ancestry(idOf(found), { signal });
    const images = await mapLimited(ids, PARALLEL_IMAGES, (id) => this.#registry.image(id, { signal }));
    const added = images.filter(({ id }) => !this.#planned.has(id));
    for (const { id } of added) this.#planned.add(id);
    const bytes = added.reduce((sum, { layerSize = 0 }) => sum + layerSize, 0);
    return { bytes: bytes * destinations.length, requests: added.length * (2 + 3 * destinations.length) };
  }

  async #tags(options: Abortable): Promise<ReadonlyMap<string, string>> {
    this.#ids ??= this.#registry.tags(options).catch((error: unknown) => {
      if (error instanceof NotFoundError) return new Map<string, string>();
      // Lets the next tag repeat the request.
      this.#ids = undefined;
      throw error;
    });
    return this.#ids;
  }
}

function idOf({ identity }: FoundTag): string {
  return identity.slice(identity.lastIndexOf(' ') + 1);
}

/** The dependencies of conversions in a mirror; undefined if not provided. */
export function convertDeps({ deps }: SyncRun): (ConvertDeps & ConvertImageDeps) | undefined {
  const { convert, memory, progress } = deps;
  if (convert === undefined) return undefined;
  // Suppresses notes about changed digests, which are expected here and could be thousands.
  const quiet = { event: progress.event.bind(progress), note: () => undefined };
  return { ...convert, progress: quiet, facts: memory, createSpool: () => new Spool(convert.temporaryDirectory) };
}
