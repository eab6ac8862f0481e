import { open } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { DigestMismatchError, DiskSpaceError, NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { ManifestKey, OpenBlob, RegistryStorage } from '../../server/index.js';
import { bothOrFirstError, KeyedMutex, unless } from '../../util/index.js';
import {
  compressionOfType,
  type Descriptor,
  type Digest,
  digestOf,
  isNonDistributable,
  type RawManifest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { keepingReserve, packFromFiles, type PackFromFilesDeps, roomAbove } from '../layers/index.js';
import { BlobLeases } from './blob-leases.js';
import { repositoriesOf, tagsOf, withRepository } from './store-repositories.js';

/** Time in ms that an image's blobs stay open after the last request for one. */
const LEASE_MS = 60_000;

const UNLIKE = 'repacked from its files, it has another digest';

export type StoreStorageDeps = PackFromFilesDeps & Pick<OperationDeps, 'content' | 'metadata'>;

export interface StoreStorageOptions {
  /** Free space to keep when packing a layer, in bytes. */
  readonly reserveBytes: number;
  /** Stops packing; abort it when the server stops. */
  readonly signal: AbortSignal;
}

/** The images of the store as a read-only registry. */
export function openStoreStorage(deps: StoreStorageDeps, options: StoreStorageOptions): RegistryStorage {
  return new StoreStorage(deps, options);
}

/**
 * The images of the store as a read-only registry (docs/embedded-registry.md, "From the store"). Takes a lock only to pack a
 * layer: records and manifests are written atomically, and an open blob outlives its deletion. So other processes can pull,
 * commit and remove at the same time. Each request sees the current images. When a manifest is requested, the blobs of its
 * image stay open for a minute, so that the client can fetch them all.
 */
class StoreStorage implements RegistryStorage {
  readonly #deps: StoreStorageDeps;
  readonly #options: StoreStorageOptions;
  readonly #packing = new KeyedMutex();
  /** Layers whose digest changes when packed; not tried again for each request. */
  readonly #unlike = new Set<Digest>();
  readonly #leases = new BlobLeases(LEASE_MS);

  constructor(deps: StoreStorageDeps, options: StoreStorageOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async repositories(): Promise<readonly string[]> {
    return repositoriesOf(await this.#deps.metadata.images.list());
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const images = await this.#imagesOf(repository);
    return images.length === 0 ? undefined : [...tagsOf(images, repository).keys()].sort();
  }

  async tagsVersion(repository: string): Promise<string> {
    const tags = [...tagsOf(await this.#imagesOf(repository), repository)];
    return digestOf(
      tags
        .map(([tag, { manifest }]) => `${tag} ${manifest.digest}`)
        .sort()
        .join('\n'),
    );
  }

  async tagDigest(repository: string, tag: string): Promise<Digest | undefined> {
    return tagsOf(await this.#imagesOf(repository), repository).get(tag)?.manifest.digest;
  }

  async hasManifest(repository: string, digest: Digest): Promise<boolean> {
    return (await this.findManifest(repository, { digest })) !== undefined;
  }

  async findManifest(repository: string, key: ManifestKey): Promise<RawManifest | undefined> {
    const images = await this.#imagesOf(repository);
    const image =
      'tag' in key
        ? tagsOf(images, repository).get(key.tag)
        : images.find(({ manifest, index }) => manifest.digest === key.digest || index?.digest === key.digest);
    if (image === undefined) return 'digest' in key ? this.#leasedManifest(repository, key.digest) : undefined;
    const { manifest, index } = image;
    const descriptor = 'digest' in key && key.digest !== manifest.digest ? index! : manifest;
    const bytes = await this.#read(descriptor);
    if (bytes === undefined) return undefined;
    await this.#lease(repository, image);
    return { bytes, descriptor };
  }

  async statBlob(repository: string, digest: Digest): Promise<{ readonly size: number } | undefined> {
    if (await this.#holds(repository, digest)) {
      const found = await this.#deps.content.stat(digest);
      if (found !== undefined) return found;
    }
    // Announcing a size that the files cannot deliver would break the transfer later.
    const opened = await this.openBlob(repository, digest);
    await opened?.handle.close();
    return opened && { size: opened.size };
  }

  async openBlob(repository: string, digest: Digest): Promise<OpenBlob | undefined> {
    const held = await this.#holds(repository, digest);
    const found = (held ? await this.#open(digest) : undefined) ?? (await this.#leases.open(`${repository} ${digest}`));
    return found ?? (held ? this.#packing.run('', () => this.#pack(repository, digest)) : undefined);
  }

  async *referrers(): AsyncGenerator<Descriptor> {}

  close(): Promise<void> {
    // The server closes its storage after the last request.
    this.#leases.close();
    return Promise.resolve();
  }

  async #lease(repository: string, { manifest, config, index, layers }: ImageRecord): Promise<void> {
    const { content } = this.#deps;
    for (const { digest, mediaType } of index === undefined ? [manifest] : [manifest, index])
      await this.#leases.hold(`${repository} ${digest}`, content.path(digest), mediaType);
    for (const { digest } of [config, ...layers])
      await this.#leases.hold(`${repository} ${digest}`, content.path(digest));
  }

  async #leasedManifest(repository: string, digest: Digest): Promise<RawManifest | undefined> {
    const leased = await this.#leases.open(`${repository} ${digest}`);
    if (leased === undefined) return undefined;
    try {
      if (leased.mediaType === undefined) return undefined;
      const bytes = await leased.handle.readFile();
      return { bytes, descriptor: { mediaType: leased.mediaType, digest, size: bytes.length } };
    } finally {
      await leased.handle.close();
    }
  }

  async #imagesOf(repository: string): Promise<ImageRecord[]> {
    return withRepository(await this.#deps.metadata.images.list(), repository);
  }

  async #holds(repository: string, digest: Digest): Promise<boolean> {
    const images = await this.#imagesOf(repository);
    return images.some(({ config, layers }) => [config, ...layers].some((blob) => blob.digest === digest));
  }

  /** The bytes of a manifest; undefined if it is missing or damaged. */
  async #read({ digest }: Descriptor): Promise<Buffer | undefined> {
    try {
      return await this.#deps.content.read(digest);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      if (!(error instanceof DigestMismatchError)) throw error;
      this.#deps.progress.note(`manifest ${digest} is damaged and not served: see imgtool store fsck`);
      return undefined;
    }
  }

  async #open(digest: Digest): Promise<OpenBlob | undefined> {
    const found = await this.#deps.content.stat(digest);
    if (found === undefined) return undefined;
    // It may have been removed since.
    const handle = await unless(open(this.#deps.content.path(digest), 'r'));
    return handle === undefined ? undefined : { handle, size: found.size };
  }

  /** Packs a layer whose blob is not in the store, and stores it; one at a time, as each uses all cores. */
  async #pack(repository: string, digest: Digest): Promise<OpenBlob | undefined> {
    const { metadata, progress } = this.#deps;
    const lost = (why: string): undefined =>
      progress.note(`blob ${digest} of ${repository} is not in the store: ${why}`) as undefined;
    const lock = await metadata.lock('store', { mode: 'shared', signal: this.#options.signal });
    try {
      const earlier = await this.#open(digest);
      if (earlier !== undefined) return earlier;
      const place = (await this.#imagesOf(repository))
        .map((record) => ({ record, position: record.layers.findIndex((layer) => layer.digest === digest) }))
        .find(({ position }) => position >= 0);
      if (place === undefined) return lost('it is not a layer');
      const descriptor = place.record.layers[place.position]!;
      if (isNonDistributable(descriptor)) return lost('it is non-distributable (foreign)');
      if (this.#unlike.has(digest)) return lost(UNLIKE);
      await this.#packInto(place, descriptor);
      progress.note(`blob ${digest} of ${repository} was not in the store: repacked from its files`);
      return await this.#open(digest);
    } catch (error) {
      if (error instanceof NotFoundError) return lost('its files are missing too');
      if (!(error instanceof DigestMismatchError)) throw error;
      this.#unlike.add(digest);
      return lost(UNLIKE);
    } finally {
      lock.release();
    }
  }

  async #packInto(
    place: { readonly record: ImageRecord; readonly position: number },
    { digest, mediaType, size }: Descriptor,
  ): Promise<void> {
    const { reserveBytes } = this.#options;
    const available = roomAbove(await this.#deps.snapshots.space(), reserveBytes);
    if (size > available)
      throw new DiskSpaceError(`no room to pack layer ${digest} in the store`, { needed: size, available });
    await keepingReserve(this.#deps, this.#options, async (guarded) => {
      const output = new PassThrough();
      await bothOrFirstError(
        packFromFiles(this.#deps, place, { compression: compressionOfType(mediaType), output, signal: guarded }),
        this.#deps.content.ingestStream(output, { expected: digest, signal: guarded }),
      );
    });
  }
}
