import type { RegistryClient, RepositoryReader, RepositoryWriter, UploadSession } from '../../registry/index.js';
import type {
  Descriptor,
  Digest,
  ImageDestination,
  ImageSource,
  RawManifest,
  Reference,
  ReopenableBlob,
} from '../../spec/index.js';
import { KnownBlobs } from './known-blobs.js';

/** Repositories a mount is tried from. */
export const MAX_MOUNT_SOURCES = 3;

type Repository = Pick<Reference, 'host' | 'repository'>;
interface Signal {
  readonly signal: AbortSignal;
}

/** A repository at a registry, to write to. Knows what it and its neighbours have as far as `known` tells. */
export class RegistryDestination implements ImageDestination {
  readonly takesIndex = true;
  readonly leavesForeign = true;
  readonly parallelBlobs = Infinity;
  readonly writer: RepositoryWriter;
  /** The same repository, to ask what is there; no mirror of it. */
  readonly reader: RepositoryReader;
  readonly #known: KnownBlobs;
  readonly #mountFrom: readonly string[];
  /** Opened by mounts that came to nothing; for the uploads that follow. */
  readonly #sessions = new Map<Digest, UploadSession>();

  constructor(
    writer: RepositoryWriter,
    reader: RepositoryReader,
    { known, mountFrom }: { readonly known: KnownBlobs; readonly mountFrom: readonly string[] },
  ) {
    this.writer = writer;
    this.reader = reader;
    this.#known = known;
    this.#mountFrom = mountFrom;
  }

  get name(): string {
    return `docker://${this.writer.host}/${this.writer.repository}`;
  }

  async hasBlob({ digest }: Descriptor, options: Signal): Promise<boolean> {
    const { host, repository } = this.writer;
    if (this.#known.has(host, repository, digest)) return true;
    if (!(await this.writer.hasBlob(digest, options))) return false;
    this.#known.add(host, repository, digest);
    return true;
  }

  hasManifest({ digest }: Descriptor, options: Signal): Promise<boolean> {
    return this.writer.hasManifest(digest, options);
  }

  async mountBlob({ digest }: Descriptor, from: ImageSource, options: Signal): Promise<boolean> {
    const { host, repository } = this.writer;
    const places = this.#known.others(host, repository, digest, MAX_MOUNT_SOURCES);
    if (from.repository?.host === host && this.#mountFrom.includes(from.repository.repository)) {
      places.unshift(from.repository.repository);
    }
    for (const place of new Set(places)) {
      const { mounted, session } = await this.writer.mountBlob(digest, place, options);
      if (mounted) {
        this.#known.add(host, repository, digest);
        return true;
      }
      const earlier = this.#sessions.get(digest);
      if (earlier !== undefined && session !== undefined) await this.writer.cancelUpload(earlier, options);
      if (session !== undefined) this.#sessions.set(digest, session);
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
    const { digest } = blob.descriptor;
    const session = this.#sessions.get(digest);
    this.#sessions.delete(digest);
    await this.writer.uploadBlob(blob, { ...options, session, sessionIsNew: true });
    this.#known.add(this.writer.host, this.writer.repository, digest);
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
}

/** Opens a repository to copy to; sends nothing. `mountFrom`: repositories of the same host that blobs may be taken from. */
export async function openRegistryDestination(
  registry: RegistryClient,
  repository: Repository,
  options: Signal & { readonly mountFrom?: readonly string[]; readonly known?: KnownBlobs },
): Promise<RegistryDestination> {
  const { signal, mountFrom = [], known = new KnownBlobs() } = options;
  const [writer, reader] = await Promise.all([
    registry.openWriter(repository, { signal, mountFrom }),
    registry.open(repository, { signal, mirrors: false }),
  ]);
  return new RegistryDestination(writer, reader, { known, mountFrom });
}
