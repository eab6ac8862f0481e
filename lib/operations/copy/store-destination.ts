import { NotFoundError, UsageError } from '../../errors.js';
import type { LayerApplier } from '../../layer/index.js';
import type { HeldLock, ImageRecord } from '../../metadata/index.js';
import {
  type BlobReader,
  type Descriptor,
  formatReference,
  hostPlatform,
  type ImageDestination,
  isNonDistributable,
  parseReference,
  type RawManifest,
  type Reference,
  type ReopenableBlob,
  type TakenBlob,
  type PutBlobOptions,
  type Abortable,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { downloadOf, fetchBlob, fetchBlobs } from '../download/index.js';
import { type FetchedImage, fetchImage, keepingReserve, MadeLayers, type PlatformQuery } from '../layers/index.js';
import { documentOf, type ResolvedImage, type ResolvedSchema1 } from '../registry/index.js';
import { isForWantOfRoom, lockStore, NewBlobs, type NewImage, recordImage, sweepStore } from '../store/index.js';

/** What a store needs to take images. */
export type StoreDestinationDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'
>;

/** How a store takes images. */
export interface StoreDestinationOptions extends Abortable {
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
}

/**
 * The local store, to bring images into: `fetch` takes them from any source, then `record` gives them names. As an
 * `ImageDestination` it takes one image, whole (`takeImage`) or blob by blob; `commit` records it. Holds the store's lock,
 * the unpacking threads and what is to be removed when an image does not come to be, until `close`.
 */
export class StoreDestination implements ImageDestination {
  readonly takesIndex = false;
  readonly parallelBlobs = Infinity;
  /** Blobs that are dropped at the end unless an image needs them by then. */
  readonly blobs = new NewBlobs();
  readonly #deps: StoreDestinationDeps;
  readonly #options: StoreDestinationOptions;
  readonly #lock: HeldLock;
  readonly #reference: Reference | undefined;
  readonly #made = new MadeLayers();
  #applier: LayerApplier | undefined;
  #manifest: RawManifest | undefined;
  #fetched: FetchedImage | undefined;
  #lacksRoom = false;

  private constructor(
    deps: StoreDestinationDeps,
    options: StoreDestinationOptions,
    lock: HeldLock,
    reference: Reference | undefined,
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#lock = lock;
    this.#reference = reference;
  }

  /** Locks the store. `reference`: the name that `commit` gives. Throws AbortError. */
  static async open(
    deps: StoreDestinationDeps,
    options: StoreDestinationOptions,
    reference?: Reference,
  ): Promise<StoreDestination> {
    return new StoreDestination(deps, options, await lockStore(deps, options), reference);
  }

  get name(): string {
    return `store:${this.#reference === undefined ? '' : formatReference(this.#reference)}`;
  }

  /** Removes what dead processes left and starts the unpacking threads, which takes a while: call it before a registry is asked. */
  async begin(): Promise<void> {
    if (this.#applier !== undefined) return;
    await sweepStore(this.#deps);
    this.#applier = await this.#deps.createApplier();
  }

  /** The unpacking threads; `begin` has started them. */
  get applier(): LayerApplier {
    if (this.#applier === undefined) throw new TypeError('begin was not called');
    return this.#applier;
  }

  /**
   * Fetches an image, all but its record. `keepBlobs`: also the blobs of layers that are unpacked already, for a source that may
   * vanish. Throws as `fetchImage`.
   */
  async fetch(
    source: BlobReader,
    document: ResolvedImage | ResolvedSchema1,
    { keepBlobs = false, ...query }: PlatformQuery & { readonly keepBlobs?: boolean },
  ): Promise<FetchedImage> {
    const { reserveBytes, signal } = this.#options;
    const options = { ...query, reserveBytes, signal, applier: this.applier, made: this.#made };
    return this.guard(async () => {
      const fetched = await fetchImage(this.#deps, source, document, options);
      if (keepBlobs) await fetchBlobs(this.#deps, source, { blobs: await this.#missing(fetched.image), signal });
      return fetched;
    });
  }

  /** Does `work`, and remembers when it failed for want of room: `close` then gives back what it took. Throws as `work`. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#lacksRoom ||= isForWantOfRoom(error);
      throw error;
    }
  }

  /** Records an image, last of all. Throws as `recordImage`. */
  async record(image: NewImage, naming: Omit<Parameters<typeof recordImage>[2], 'signal'> = {}): Promise<ImageRecord> {
    return recordImage(this.#deps, image, { ...naming, signal: this.#options.signal });
  }

  async takeImage(source: BlobReader, manifest: RawManifest): Promise<readonly TakenBlob[]> {
    const document = documentOf(manifest);
    const { digest, size } = 'schema1' in document ? manifest.descriptor : document.manifest.config;
    const state = (await this.#deps.content.stat(digest)) === undefined ? 'fetched' : 'present';
    const query = { platform: hostPlatform(), platformGiven: false, keepBlobs: true };
    this.#fetched = await this.fetch(source, document, query);
    return [...this.#fetched.layers, { digest, size, state }];
  }

  async hasBlob({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.#deps.content.stat(digest))?.size === size;
  }

  /** Never skipped: an image that is in the store gets its name all the same. */
  hasManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    const ingest = await this.#deps.content.beginIngest(blob.descriptor, options);
    if (ingest === undefined) return;
    // Without a size: whether the image as a whole has room is judged when its layers are unpacked.
    await this.guard(() =>
      keepingReserve(this.#deps, { signal: options.signal }, (signal) =>
        fetchBlob(downloadOf(blob), ingest, { ...options, signal }),
      ),
    ).finally(() => ingest.release());
  }

  putManifest(manifest: RawManifest): Promise<void> {
    this.#manifest = manifest;
    return Promise.resolve();
  }

  /** Unpacks the image, unless it was taken whole, and records it. */
  async commit(): Promise<void> {
    if (this.#manifest === undefined) return;
    if (this.#fetched === undefined) await this.takeImage(blobsLeftOut(this.name), this.#manifest);
    const { image } = this.#fetched!;
    await this.guard(async () => {
      // The source may be gone when power comes back.
      await this.#deps.snapshots.sync();
      await this.record(image, { name: formatReference(this.#reference!) });
    });
  }

  async close(): Promise<void> {
    await this.#applier?.close();
    this.#applier = undefined;
    this.#lock.release();
    if (this.#lacksRoom) await this.#made.giveBack(this.#deps);
    this.#lacksRoom = false;
    await this.blobs.drop(this.#deps);
    this.blobs.keep();
  }

  async #missing({ layers }: NewImage): Promise<Descriptor[]> {
    const present = await Promise.all(layers.map(({ digest }) => this.#deps.content.stat(digest)));
    return layers.filter((_layer, i) => present[i] === undefined);
  }
}

/** Opens the store for `work`, and closes it afterwards. Throws AbortError, and as `work`. */
export async function withStoreDestination<T>(
  deps: StoreDestinationDeps,
  options: StoreDestinationOptions,
  work: (store: StoreDestination) => Promise<T>,
): Promise<T> {
  const store = await StoreDestination.open(deps, options);
  try {
    return await store.guard(() => work(store));
  } finally {
    await store.close();
  }
}

/** Opens the local store to copy to. Throws InvalidReferenceError, UsageError (a digest is no name), AbortError. */
export async function openStoreDestination(
  deps: StoreDestinationDeps,
  name: string,
  options: StoreDestinationOptions,
): Promise<ImageDestination> {
  const reference = parseReference(name);
  if (reference.digest !== undefined) {
    throw new UsageError('a digest cannot be given as a name', { hint: 'write store:HOST/REPOSITORY:TAG' });
  }
  const store = await StoreDestination.open(deps, options, reference);
  try {
    await store.begin();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The source of an image that came blob by blob: a blob that is missing then was left out, or dropped as damaged. */
function blobsLeftOut(name: string): BlobReader {
  return { blob: (descriptor) => ({ descriptor, open: () => Promise.reject(blobMissingError(name, descriptor)) }) };
}

function blobMissingError(name: string, blob: Descriptor): NotFoundError {
  const { digest, urls = [] } = blob;
  const facts = { kind: 'blob', subject: digest } as const;
  if (isNonDistributable(blob)) {
    return new NotFoundError(`${name}: layer ${digest} is non-distributable; its place is ${urls[0]!.slice(0, 200)}`, {
      ...facts,
      hint: 'the store needs all layers: try imgtool pull, which fetches this one too',
    });
  }
  return new NotFoundError(`${name}: blob ${digest} was damaged in the store and has been deleted`, {
    ...facts,
    hint: 'run the command again to copy the blob again',
  });
}
