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

/** Repositories a mount of one blob is tried from. */
const MAX_MOUNT_SOURCES = 3;
/** Repositories that the token for one destination lets blobs be mounted from. */
const MAX_MOUNT_SCOPES = 10;

/** What a destination knows, and what it keeps. */
export interface RegistryDestinationOptions {
  /** The source, where its blobs may be mounted with the login of the destination. Default: they may not. */
  readonly mountFrom?: ImageSource | undefined;
  /** What repositories are known to have; learns what this one has. */
  readonly known?: BlobPlaces;
  /** Lets later processes resume uploads, and one process at a time upload a blob. Default: neither. */
  readonly uploads?: UploadRecords | undefined;
  /** Whether the repository may have a manifest; it is not asked for others. Default: always. */
  readonly mayHave?: (digest: Digest) => boolean;
}

/** A repository at a registry, to write to. */
export class RegistryDestination implements ImageDestination {
  readonly takesIndex = true;
  readonly takesSchema1 = true;
  readonly leavesForeign = true;
  readonly parallelBlobs = Infinity;
  readonly writer: RepositoryWriter;
  /** The same repository, to ask what is there; no mirror of it. */
  readonly reader: RepositoryReader;
  readonly #registry: RegistryClient;
  readonly #known: BlobPlaces;
  readonly #mountFrom: ReadonlySet<string>;
  readonly #uploads: UploadRecords | undefined;
  readonly #mayHave: (digest: Digest) => boolean;
  /** Opened by mounts that came to nothing; for the uploads that follow. */
  readonly #sessions = new Map<Digest, UploadSession>();
  /** Left by earlier processes. */
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

  /** Each manifest was published as it was put. */
  commit(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Those of the source first, then others that have got the blob. */
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

  /** The blob is there: an upload that an earlier process left is of no use any more. */
  async #arrived(blob: Descriptor): Promise<void> {
    this.#known.add(this.writer, blob);
    if (this.#earlier.delete(blob.digest)) await this.#uploads?.note(blob, undefined);
  }
}

/** Opens a repository to copy to; sends nothing. */
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

/** A registry that refuses bytes may be right. Throws DigestMismatchError when the source has damaged ones. */
async function checkIntact(blob: ReopenableBlob, signal: AbortSignal): Promise<void> {
  try {
    for await (const _chunk of await blob.open({ signal, offset: 0 }));
  } catch (error) {
    if (error instanceof DigestMismatchError) throw error;
  }
}
