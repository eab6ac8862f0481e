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
} from '../../spec/index.js';
import { BlobPlaces } from '../download/index.js';
import type { UploadRecords } from './upload-records.js';

/** Repositories a mount is tried from. */
const MAX_MOUNT_SOURCES = 3;

interface Signal {
  readonly signal: AbortSignal;
}

/** What a destination knows, and what it keeps. */
export interface RegistryDestinationOptions {
  /** Other repositories of the host that blobs of the source may be mounted from. Default: none. */
  readonly mountFrom?: readonly string[];
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
  readonly #mountFrom: readonly string[];
  readonly #uploads: UploadRecords | undefined;
  readonly #mayHave: (digest: Digest) => boolean;
  /** Opened by mounts that came to nothing; for the uploads that follow. */
  readonly #sessions = new Map<Digest, UploadSession>();
  /** Left by earlier processes. */
  readonly #earlier = new Map<Digest, UploadSession>();

  /** Use `openRegistryDestination`. */
  constructor(
    registry: RegistryClient,
    ends: { readonly writer: RepositoryWriter; readonly reader: RepositoryReader },
    { known = new BlobPlaces(), mountFrom = [], uploads, mayHave = () => true }: RegistryDestinationOptions,
  ) {
    this.#registry = registry;
    this.writer = ends.writer;
    this.reader = ends.reader;
    this.#known = known;
    this.#mountFrom = mountFrom;
    this.#uploads = uploads;
    this.#mayHave = mayHave;
  }

  get name(): string {
    return `docker://${this.writer.host}/${this.writer.repository}`;
  }

  get repository(): RepositoryName {
    return this.writer;
  }

  async lockBlob(blob: Descriptor, options: Signal & { readonly onWait: () => void }): Promise<() => void> {
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

  async hasBlob(blob: Descriptor, options: Signal): Promise<boolean> {
    if (this.#known.has(this.writer, blob)) return true;
    if (!(await this.writer.hasBlob(blob.digest, options))) return false;
    await this.#arrived(blob);
    return true;
  }

  async hasManifest({ digest }: Descriptor, options: Signal): Promise<boolean> {
    return this.#mayHave(digest) && (await this.writer.hasManifest(digest, options));
  }

  referrers(digest: Digest, options: Signal): Promise<Referrers> {
    return this.reader.referrers(digest, options);
  }

  async mountBlob(blob: Descriptor, from: ImageSource, options: Signal): Promise<boolean> {
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

  async canMountBlob(blob: Descriptor, from: ImageSource, options: Signal): Promise<boolean> {
    if (this.#isNeighbour(from.repository) || this.#known.others(this.writer, blob, 1).length > 0) return true;
    const { host } = this.writer;
    for (const repository of this.#mountPlaces(blob, from)) {
      const other = await this.#registry.openWriter({ host, repository }, options);
      if (await other.hasBlob(blob.digest, options)) return true;
    }
    return false;
  }

  async putBlob(
    blob: ReopenableBlob,
    options: Signal & {
      readonly onProgress?: (transferred: number) => void;
      readonly onRetry?: (message: string) => void;
    },
  ): Promise<void> {
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

  putManifest(manifest: RawManifest, { tag }: { readonly tag?: string | undefined }, options: Signal): Promise<void> {
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

  /** The source itself first, then repositories that are known to have the blob. */
  #mountPlaces(blob: Descriptor, from: ImageSource): Set<string> {
    const recorded = (from.placesOf?.(blob) ?? []).filter((place) => this.#isNeighbour(place));
    const known = this.#known.others(this.writer, blob, MAX_MOUNT_SOURCES);
    const places = [...new Set([...recorded.map(({ repository }) => repository), ...known])];
    const own = this.#isNeighbour(from.repository) ? [from.repository!.repository] : [];
    return new Set([...own, ...places.slice(0, MAX_MOUNT_SOURCES)]);
  }

  #isNeighbour(place: RepositoryName | undefined): boolean {
    return place?.host === this.writer.host && this.#mountFrom.includes(place.repository);
  }

  async #dropSession(digest: Digest, options: Signal): Promise<void> {
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
  { signal, ...options }: RegistryDestinationOptions & Signal,
): Promise<RegistryDestination> {
  const { mountFrom = [] } = options;
  const [writer, reader] = await Promise.all([
    registry.openWriter(place, { signal, mountFrom }),
    registry.open(place, { signal, mirrors: false }),
  ]);
  return new RegistryDestination(registry, { writer, reader }, options);
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
