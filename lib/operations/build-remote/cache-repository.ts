import { Readable } from 'node:stream';
import { ImgtoolError, InvalidManifestError, NotFoundError } from '../../errors.js';
import type { RegistryClient, RepositoryReader, RepositoryWriter } from '../../registry/index.js';
import {
  digestOf,
  MEDIA_TYPE,
  parseManifest,
  rawManifest,
  type Descriptor,
  type Digest,
  type ImageManifest,
  type RawManifest,
  type Reference,
  type ReopenableBlob,
} from '../../spec/index.js';
import { readVerified } from '../convert/index.js';
import { readBlob, reopenable } from '../registry/index.js';
import { isForWantOfRoom } from '../store/index.js';

export type Repository = Pick<Reference, 'host' | 'repository'>;

const MAX_RECORD_BYTES = 1024 * 1024;

/** An artifact of a cache: a JSON record, which is its config, and layers. */
export interface CacheArtifact {
  readonly manifest: RawManifest;
  readonly record: { readonly bytes: Buffer; readonly descriptor: Descriptor };
  readonly layers: readonly Descriptor[];
}

/** Creates an artifact; `type`: media type of its record. */
export function cacheArtifact(type: string, record: object, layers: readonly Descriptor[]): CacheArtifact {
  const bytes = Buffer.from(JSON.stringify(record));
  const config = { mediaType: type, digest: digestOf(bytes), size: bytes.length };
  const mediaType = MEDIA_TYPE.ociManifest;
  const manifest = rawManifest({ schemaVersion: 2, mediaType, artifactType: type, config, layers });
  return { manifest, record: { bytes, descriptor: config }, layers };
}

/** A repository of build artifacts, each with its own tag. */
export class CacheRepository {
  readonly place: Repository;
  readonly #registry: RegistryClient;
  readonly #signal: AbortSignal;
  #reader: Promise<RepositoryReader> | undefined;
  /** Digests of layers known to be in the repository. */
  readonly #present = new Set<Digest>();

  constructor(registry: RegistryClient, place: Repository, signal: AbortSignal) {
    this.#registry = registry;
    this.place = place;
    this.#signal = signal;
  }

  /** `HOST/REPOSITORY`. */
  get name(): string {
    return `${this.place.host}/${this.place.repository}`;
  }

  /** The digest of the artifact's manifest, from one HEAD request; undefined if it is missing. Throws the errors of the registry. */
  async find(tag: string): Promise<Digest | undefined> {
    const reader = await this.#open();
    try {
      return (await reader.resolve({ tag }, { signal: this.#signal })).digest;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  /** Reads the record and the layers of an artifact. Throws InvalidManifestError (another type), the errors of the registry. */
  async read(tag: string, type: string): Promise<{ readonly record: unknown; readonly layers: readonly Descriptor[] }> {
    const signal = this.#signal;
    const where = `${tag} of the remote cache`;
    const reader = await this.#open();
    const raw = await reader.manifest({ tag }, { signal });
    const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, where) as ImageManifest;
    if (manifest.config?.mediaType !== type) throw artifactError(tag);
    const bytes = await readBlob(reader.blob(manifest.config), { maxBytes: MAX_RECORD_BYTES, signal });
    try {
      return { record: JSON.parse(bytes.toString()) as unknown, layers: manifest.layers };
    } catch {
      throw artifactError(tag);
    }
  }

  /** A layer of an artifact. With `onFault` it is verified; `onFault` receives read errors, and undefined after a successful read. */
  async layer(descriptor: Descriptor, onFault?: OnFault): Promise<ReopenableBlob> {
    const blob = reopenable((await this.#open()).blob(descriptor));
    return onFault === undefined ? blob : watchedBlob(blob, onFault);
  }

  /**
   * Uploads an artifact. `open` reads layers that the repository lacks and cannot mount from any of `mountFrom`. Throws
   * the errors of the registry.
   */
  async put(
    tag: string,
    { manifest, record, layers }: CacheArtifact,
    {
      open,
      mountFrom = [],
    }: { readonly open: (blob: Descriptor) => ReopenableBlob; readonly mountFrom?: readonly string[] },
  ): Promise<void> {
    const signal = this.#signal;
    const writer = await this.#registry.openWriter(this.place, { signal, mountFrom });
    for (const blob of layers) {
      if (this.#present.has(blob.digest)) continue;
      await putLayer(writer, { blob, open, mountFrom, signal });
      this.#present.add(blob.digest);
    }
    const { bytes, descriptor } = record;
    const source = ({ offset }: { readonly offset: number }): Promise<Readable> =>
      Promise.resolve(Readable.from([bytes.subarray(offset)]));
    await writer.uploadBlob({ descriptor, open: source }, { signal });
    await writer.putManifest(manifest, { tag }, { signal });
  }

  #open(): Promise<RepositoryReader> {
    // A mirror may lack an artifact that was just uploaded.
    this.#reader ??= this.#registry.open(this.place, { signal: this.#signal, mirrors: false });
    return this.#reader;
  }
}

/** The error for an artifact whose content does not match its tag. */
export function artifactError(tag: string): InvalidManifestError {
  const where = `${tag} of the remote cache`;
  return new InvalidManifestError(`${where} is not what its tag says`, { where });
}

/** Reports whether an error may be a cache failure, which must not end a build; aborts, a full disk and bugs do. */
export function isCacheFault(error: unknown): error is ImgtoolError {
  return error instanceof ImgtoolError && !isForWantOfRoom(error);
}

/**
 * Calls `work`. On a cache failure, calls `onFault` and resolves with undefined. `orFull`: also tolerates a full disk.
 * Throws AbortError, DiskSpaceError and bugs.
 */
export async function tolerating<T>(
  {
    onFault,
    orFull = false,
    signal,
  }: { readonly onFault: (error: ImgtoolError) => void; readonly orFull?: boolean; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ImgtoolError) || !(orFull || isCacheFault(error))) throw error;
    onFault(error);
    return undefined;
  }
}

/** Receives the reason why a cached item is unusable; undefined if it is usable. */
type OnFault = (error: unknown) => void;

function watchedBlob(blob: ReopenableBlob, onFault: OnFault): ReopenableBlob {
  const watched = async function* (body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* body;
      onFault(undefined);
    } catch (error) {
      onFault(error);
      throw error;
    }
  };
  return {
    ...blob,
    isVerified: true,
    open: async (how) => {
      try {
        const body = await (how.offset === 0 ? readVerified(blob, how) : blob.open(how));
        return Readable.from(watched(body as AsyncIterable<Buffer>), { objectMode: false });
      } catch (error) {
        onFault(error);
        throw error;
      }
    },
  };
}

/** Uploads a layer unless the repository has it or can mount it. */
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
