import { Readable } from 'node:stream';
import { InvalidManifestError } from '../../errors.js';
import type { RegistryClient, RepositoryReader, RepositoryWriter } from '../../registry/index.js';
import {
  digestOf,
  MEDIA_TYPE,
  parseDigest,
  parseManifest,
  rawManifest,
  type Descriptor,
  type DiffId,
  type Digest,
  type ImageManifest,
  type RawManifest,
  type Reference,
  type ReopenableBlob,
} from '../../spec/index.js';
import { readBlob, findTag } from '../registry/index.js';

/** Media type of the config of a step's artifact. */
const STEP_RECORD_TYPE = 'application/vnd.imgtool.build.step.v1+json';
const MAX_RECORD_BYTES = 1024 * 1024;

/** A layer that a cached step made. */
export interface CachedLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  /** RFC 3339. */
  readonly created: string;
}

/** Steps of builds kept at a registry: an artifact a step, tagged with the step's key, that holds the layers up to the step. */
export class StepArtifacts {
  readonly reference: Pick<Reference, 'host' | 'repository'>;
  readonly #registry: RegistryClient;
  readonly #signal: AbortSignal;
  #reader: Promise<RepositoryReader> | undefined;
  /** Digests of layers that the repository is known to have. */
  readonly #present = new Set<Digest>();

  constructor(
    registry: RegistryClient,
    { reference, signal }: { readonly reference: Pick<Reference, 'host' | 'repository'>; readonly signal: AbortSignal },
  ) {
    this.#registry = registry;
    this.reference = reference;
    this.#signal = signal;
  }

  /** Which of the keys are kept: one HEAD each, all at once. Throws what the registry throws. */
  async find(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const reader = await this.#open();
    const found = await Promise.all(keys.map((key) => findTag(reader, tagOf(key), this.#signal)));
    return new Set(keys.filter((_key, i) => found[i] !== undefined));
  }

  /**
   * The layers of a step and of the steps before it, oldest first, as its record tells. Throws InvalidManifestError (no record of
   * this key), what the registry throws.
   */
  async layers(key: string): Promise<readonly CachedLayer[]> {
    const reader = await this.#open();
    const raw = await reader.manifest({ tag: tagOf(key) }, { signal: this.#signal });
    const where = `step ${key.slice(0, 12)}`;
    const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, where) as ImageManifest;
    if (manifest.config?.mediaType !== STEP_RECORD_TYPE) throw recordError(where);
    const bytes = await readBlob(reader.blob(manifest.config), { maxBytes: MAX_RECORD_BYTES, signal: this.#signal });
    return parseRecord(bytes, key, where);
  }

  /** A layer of a kept step, to read. */
  async blob(descriptor: Descriptor): Promise<ReturnType<RepositoryReader['blob']>> {
    return (await this.#open()).blob(descriptor);
  }

  /**
   * Keeps a step. `layers`: its own, last, and those before; `open` reads those that the repository neither has nor can mount from one
   * of `mountFrom`. Throws what the registry throws.
   */
  async add(
    key: string,
    {
      layers,
      open,
      mountFrom,
    }: {
      readonly layers: readonly CachedLayer[];
      readonly open: (blob: Descriptor) => ReopenableBlob;
      readonly mountFrom: readonly string[];
    },
  ): Promise<void> {
    const signal = this.#signal;
    const writer = await this.#registry.openWriter(this.reference, { signal, mountFrom });
    for (const { blob } of layers) {
      if (this.#present.has(blob.digest)) continue;
      await putLayer(writer, { blob, open, mountFrom, signal });
      this.#present.add(blob.digest);
    }
    const record = Buffer.from(JSON.stringify({ version: 1, key, layers }));
    const config = { mediaType: STEP_RECORD_TYPE, digest: digestOf(record), size: record.length };
    await writer.uploadBlob(
      { descriptor: config, open: ({ offset }) => Promise.resolve(Readable.from([record.subarray(offset)])) },
      { signal },
    );
    const blobs = layers.map(({ blob }) => blob);
    await writer.putManifest(manifestOf(config, blobs), { tag: tagOf(key) }, { signal });
  }

  #open(): Promise<RepositoryReader> {
    // No mirror: what was kept a moment ago has to be found.
    this.#reader ??= this.#registry.open(this.reference, { signal: this.#signal, mirrors: false });
    return this.#reader;
  }
}

function tagOf(key: string): string {
  return `ic-${key}`;
}

/** Uploads a layer, unless the repository has it or can mount it. */
async function putLayer(
  writer: RepositoryWriter,
  {
    blob,
    open,
    mountFrom,
    signal,
  }: {
    readonly blob: Descriptor;
    readonly open: (blob: Descriptor) => ReopenableBlob;
    readonly mountFrom: readonly string[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  if (await writer.hasBlob(blob.digest, { signal })) return;
  for (const place of mountFrom) {
    const { mounted, session } = await writer.mountBlob(blob.digest, place, { signal });
    if (session !== undefined) await writer.cancelUpload(session, { signal });
    if (mounted) return;
  }
  await writer.uploadBlob(open(blob), { signal });
}

/** Names all layers of the record: the registry must not collect those of earlier steps, whose tags may move to other layers. */
function manifestOf(config: Descriptor, layers: readonly Descriptor[]): RawManifest {
  const mediaType = MEDIA_TYPE.ociManifest;
  return rawManifest({ schemaVersion: 2, mediaType, artifactType: STEP_RECORD_TYPE, config, layers });
}

function parseRecord(bytes: Buffer, key: string, where: string): readonly CachedLayer[] {
  let record: { readonly version?: unknown; readonly key?: unknown; readonly layers?: unknown };
  try {
    record = JSON.parse(bytes.toString()) as typeof record;
  } catch {
    throw recordError(where);
  }
  if (record?.version !== 1 || record.key !== key || !Array.isArray(record.layers)) throw recordError(where);
  return record.layers.map((value: unknown) => {
    const { blob, diffId, created } = (value ?? {}) as Partial<CachedLayer>;
    const { mediaType, digest, size } = blob ?? {};
    const isWhole =
      typeof mediaType === 'string' &&
      typeof digest === 'string' &&
      typeof diffId === 'string' &&
      Number.isSafeInteger(size) &&
      size! >= 0 &&
      typeof created === 'string' &&
      !Number.isNaN(Date.parse(created));
    if (!isWhole) throw recordError(where);
    return {
      blob: { mediaType, digest: parseDigest(digest), size: size! },
      diffId: parseDigest(diffId) as DiffId,
      created,
    };
  });
}

function recordError(where: string): InvalidManifestError {
  return new InvalidManifestError(`${where} of the remote cache is no record of a step`, { where });
}
