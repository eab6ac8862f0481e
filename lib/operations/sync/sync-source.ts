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

/** What a tag names now. */
export interface FoundTag {
  /** Stands for the content: its digest; over protocol v1, which has none, a name of the image at its registry. */
  readonly identity: string;
  /** Undefined over protocol v1. */
  readonly digest: Digest | undefined;
  /** The manifest or index itself; undefined until it is read, and over protocol v1. */
  readonly raw?: RawManifest | undefined;
}

/** What is to be copied. */
interface OpenedTag {
  readonly source: ImageSource;
  readonly selector: ImageSelector;
  readonly top?: RawManifest | undefined;
}

/** A repository to mirror, whatever protocol it speaks. Its methods throw what the registry throws. */
export interface SyncSource {
  /** Undefined over protocol v1. */
  readonly v2: RegistrySource | undefined;
  tags(options: Abortable): Promise<string[]>;
  /** Undefined: there is no such tag. */
  find(tag: string, options: Abortable): Promise<FoundTag | undefined>;
  /**
   * Reads the manifest of a tag that was found. Where the registry does not have what it said, or sends other bytes for it,
   * the bytes under the tag decide, with a warning.
   */
  read(tag: string, found: FoundTag, options: Abortable): Promise<FoundTag>;
  /** When the image, which was read, says it was created, ms since 1970; undefined when it does not. */
  created(found: FoundTag, options: Abortable): Promise<number | undefined>;
  /** What is to be copied of a tag that was read; closed by the caller. */
  open(tag: string, found: FoundTag): OpenedTag;
  /** What copying a tag that was read would take; changes nothing. A layer that several tags share counts once. */
  plan(found: FoundTag, options: PlanOptions): Promise<Pick<CopyEstimate, 'bytes' | 'requests'>>;
}

interface PlanOptions extends Abortable {
  /** The part of the tag that is to be copied. */
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

/** When an image says it was created, ms since 1970; undefined when it does not. Throws what the source throws. */
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

/** That of this machine, or the first: all of an index are built together. */
function entryFor(index: Parameters<typeof choosePlatform>[0]): ReturnType<typeof choosePlatform> | undefined {
  try {
    return choosePlatform(index, hostPlatform());
  } catch {
    return index.manifests[0];
  }
}

/** Images asked for at the same time. */
const PARALLEL_IMAGES = 6;

/** A repository over protocol v1. Tags are asked for once: one request tells the IDs of all. */
export class V1SyncSource implements SyncSource {
  readonly v2 = undefined;
  readonly #deps: ConvertDeps;
  readonly #registry: V1Repository;
  #ids: Promise<ReadonlyMap<string, string>> | undefined;
  /** Layers that a plan has counted. */
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

  /** Sizes are known as far as the registry says them. */
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
      // The next tag asks again.
      this.#ids = undefined;
      throw error;
    });
    return this.#ids;
  }
}

function idOf({ identity }: FoundTag): string {
  return identity.slice(identity.lastIndexOf(' ') + 1);
}

/** What converting images needs in a mirror; undefined where it was not given. */
export function convertDeps({ deps }: SyncRun): (ConvertDeps & ConvertImageDeps) | undefined {
  const { convert, memory, progress } = deps;
  if (convert === undefined) return undefined;
  // That digests change was asked for, for thousands of tags.
  const quiet = { event: progress.event.bind(progress), note: () => undefined };
  return { ...convert, progress: quiet, facts: memory, createSpool: () => new Spool(convert.temporaryDirectory) };
}
