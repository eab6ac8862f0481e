import { DigestMismatchError, RegistryError } from '../../errors.js';
import type { RegistryClient, RepositoryReader, RepositoryWriter, UploadSession } from '../../registry/index.js';
import type {
  Descriptor,
  Digest,
  ImageDestination,
  ImageSource,
  RawManifest,
  Referrers,
  RepositoryName,
  ReopenableBlob,
  Abortable,
  PutBlobOptions,
} from '../../spec/index.js';
import { BlobPlaces } from '../download/index.js';
import type { UploadRecords } from './upload-records.js';

/** The most repositories to try to mount one blob from. */
const MAX_MOUNT_SOURCES = 3;
/** The most repositories that the token of a destination permits mounts from. */
const MAX_MOUNT_SCOPES = 10;

export interface RegistryDestinationOptions {
  /** The source, if its blobs may be mounted with the destination's login. Default: no mounts from it. */
  readonly mountFrom?: ImageSource | undefined;
  /** Known blobs of repositories; extended with those of this repository. */
  readonly known?: BlobPlaces;
  /** Makes uploads resumable by later processes and exclusive between processes. Default: neither. */
  readonly uploads?: UploadRecords | undefined;
  /** False when the repository certainly lacks a manifest, which saves a request. Default: always true. */
  readonly mayHave?: (digest: Digest) => boolean;
}

/** A repository at a registry as a destination. */
export class RegistryDestination implements ImageDestination {
  readonly takesIndex = true;
  readonly takesSchema1 = true;
  readonly leavesForeign = true;
  readonly parallelBlobs = Infinity;
  readonly writer: RepositoryWriter;
  /** Reads the same repository without mirrors. */
  readonly reader: RepositoryReader;
  readonly #registry: RegistryClient;
  readonly #known: BlobPlaces;
  readonly #mountFrom: ReadonlySet<string>;
  readonly #uploads: UploadRecords | undefined;
  readonly #mayHave: (digest: Digest) => boolean;
  /** Upload sessions that failed mounts have opened, for the following uploads. */
  readonly #sessions = new Map<Digest, UploadSession>();
  /** Upload sessions of earlier processes. */
  readonly #earlier = new Map<Digest, UploadSession>();

  /** Use `openRegistryDestination`. */
  constructor(
    registry: RegistryClient,
    ends: {
      readonly writer: RepositoryWriter;
      readonly reader: RepositoryReader;
      readonly mountFrom: readonly string[];
    },
    { known = new BlobPlaces(), uploads, mayHave = () => true }: Omit<RegistryDestinationOptions, 'mountFrom'>,
  ) {
    this.#registry = registry;
    this.writer = ends.writer;
    this.reader = ends.reader;
    this.#known = known;
    this.#mountFrom = new Set(ends.mountFrom);
    this.#uploads = uploads;
    this.#mayHave = mayHave;
  }

  get name(): string {
    return `docker://${this.writer.host}/${this.writer.repository}`;
  }

  get repository(): RepositoryName {
    return this.writer;
  }

  async lockBlob(blob: Descriptor, options: Abortable & { readonly onWait: () => void }): Promise<() => void> {
    if (this.#uploads === undefined) return () => undefined;
    const unlock = await this.#uploads.lock(blob, options);
    try {
      const earlier = await this.#uploads.find(blob);
      if (earlier !== undefined) this.#earlier.set(blob.digest, earlier);
      return unlock;
    } catch (error) {
      unlock();
      throw error;
    }
  }

  async hasBlob(blob: Descriptor, options: Abortable): Promise<boolean> {
    if (this.#known.has(this.writer, blob)) return true;
    if (!(await this.writer.hasBlob(blob.digest, options))) return false;
    await this.#arrived(blob);
    return true;
  }

  async hasManifest({ digest }: Descriptor, options: Abortable): Promise<boolean> {
    return this.#mayHave(digest) && (await this.writer.hasManifest(digest, options));
  }

  referrers(digest: Digest, options: Abortable): Promise<Referrers> {
    return this.reader.referrers(digest, options);
  }

  async mountBlob(blob: Descriptor, from: ImageSource, options: Abortable): Promise<boolean> {
    const { digest } = blob;
    for (const place of this.#mountPlaces(blob, from)) {
      const { mounted, session } = await this.writer.mountBlob(digest, place, options);
      if (mounted || session !== undefined) await this.#dropSession(digest, options);
      if (mounted) {
        await this.#arrived(blob);
        return true;
      }
      if (session !== undefined) this.#sessions.set(digest, session);
    }
    if (this.#earlier.has(digest)) await this.#dropSession(digest, options);
    return false;
  }

  async canMountBlob(blob: Descriptor, from: ImageSource, options: Abortable): Promise<boolean> {
    const { host } = this.writer;
    const isOwn = from.repository?.host === host && this.#mountFrom.has(from.repository.repository);
    if (isOwn || this.#known.others(this.writer, blob, 1).length > 0) return true;
    for (const repository of this.#mountPlaces(blob, from)) {
      const other = await this.#registry.openWriter({ host, repository }, options);
      if (await other.hasBlob(blob.digest, options)) return true;
    }
    return false;
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    const { descriptor } = blob;
    const { digest } = descriptor;
    const uploads = this.#uploads;
    const earlier = this.#earlier.get(digest);
    const session = earlier ?? this.#sessions.get(digest);
    this.#sessions.delete(digest);
    try {
      await this.writer.uploadBlob(blob, {
        ...{ ...options, session, sessionIsNew: earlier === undefined },
        ...(uploads === undefined ? {} : { onSession: (at) => uploads.note(descriptor, at) }),
      });
    } catch (error) {
      if (saysWrongDigest(error)) await checkIntact(blob, options.signal);
      throw error;
    }
    this.#earlier.delete(digest);
    this.#known.add(this.writer, descriptor);
  }

  putManifest(
    manifest: RawManifest,
    { tag }: { readonly tag?: string | undefined },
    options: Abortable,
  ): Promise<void> {
    const reference = tag === undefined ? { digest: manifest.descriptor.digest } : { tag };
    return this.writer.putManifest(manifest, reference, options);
  }

  /** Does nothing: putting a manifest publishes it. */
  commit(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Repositories to mount a blob from: those of the source first. */
  #mountPlaces(blob: Descriptor, from: ImageSource): string[] {
    const recorded = (from.neighboursAt?.(this.writer.host, blob) ?? []).filter((name) => this.#mountFrom.has(name));
    const known = this.#known.others(this.writer, blob, MAX_MOUNT_SOURCES);
    return [...new Set([...recorded, ...known])].slice(0, MAX_MOUNT_SOURCES);
  }

  async #dropSession(digest: Digest, options: Abortable): Promise<void> {
    const session = this.#sessions.get(digest);
    this.#sessions.delete(digest);
    if (session !== undefined) await this.writer.cancelUpload(session, options);
  }

  /** Records that the repository has the blob, and forgets an upload session of an earlier process. */
  async #arrived(blob: Descriptor): Promise<void> {
    this.#known.add(this.writer, blob);
    if (this.#earlier.delete(blob.digest)) await this.#uploads?.note(blob, undefined);
  }
}

/** Opens a repository as a destination. Sends nothing. */
export async function openRegistryDestination(
  registry: RegistryClient,
  place: RepositoryName,
  { signal, mountFrom: source, ...options }: RegistryDestinationOptions & Abortable,
): Promise<RegistryDestination> {
  const neighbours = source?.neighboursAt?.(place.host) ?? [];
  const mountFrom = neighbours.filter((name) => name !== place.repository).slice(0, MAX_MOUNT_SCOPES);
  const [writer, reader] = await Promise.all([
    registry.openWriter(place, { signal, mountFrom }),
    registry.open(place, { signal, mirrors: false }),
  ]);
  return new RegistryDestination(registry, { writer, reader, mountFrom }, options);
}

function saysWrongDigest(error: unknown): boolean {
  return error instanceof RegistryError && error.diagnostics.some(({ code }) => code === 'DIGEST_INVALID');
}

/** Reads a blob that the registry has refused, because the source may be damaged. Throws DigestMismatchError. */
async function checkIntact(blob: ReopenableBlob, signal: AbortSignal): Promise<void> {
  try {
    for await (const _chunk of await blob.open({ signal, offset: 0 }));
  } catch (error) {
    if (error instanceof DigestMismatchError) throw error;
  }
}
