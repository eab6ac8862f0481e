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
import { closeAll, orCloseAll, thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { downloadOf, fetchBlob, fetchBlobs } from '../download/index.js';
import { type FetchedImage, fetchImage, keepingReserve, MadeLayers, type PlatformQuery } from '../layers/index.js';
import { documentOf, type ResolvedImage, type ResolvedSchema1 } from '../registry/index.js';
import { isForWantOfRoom, lockStore, NewBlobs, type NewImage, recordImage, sweepStore } from '../store/index.js';

export type StoreDestinationDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'
>;

export interface StoreDestinationOptions extends Abortable {
  /** Bytes to keep free on the store's file system. */
  readonly reserveBytes: number;
}

/**
 * The local store as a destination: `fetch` takes images from any source, then `record` names them. As an
 * `ImageDestination` it takes one image, whole (`takeImage`) or blob by blob, and `commit` records it. Until `close`,
 * it holds the store's lock, an applier of layers and a list of what to remove after a failure.
 */
export class StoreDestination implements ImageDestination {
  readonly takesIndex = false;
  readonly parallelBlobs = Infinity;
  /** New blobs, removed at the end unless an image needs them. */
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

  /** Locks the store. `reference`: the name to be set by `commit`. Throws AbortError. */
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

  /** Removes leftovers of dead processes. */
  async begin(): Promise<void> {
    if (this.#applier !== undefined) return;
    await sweepStore(this.#deps);
    this.#applier = await this.#deps.createApplier();
  }

  /** Requires `begin`. */
  get applier(): LayerApplier {
    if (this.#applier === undefined) throw new TypeError('begin was not called');
    return this.#applier;
  }

  /**
   * Fetches everything of an image except its record. `keepBlobs`: also fetch the blobs of unpacked layers, for a
   * source that may disappear. Throws as `fetchImage`.
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

  /** Runs `work` and remembers a failure due to a full disk; `close` then removes what it added. Throws as `work`. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#lacksRoom ||= isForWantOfRoom(error);
      throw error;
    }
  }

  /** Records an image after everything else. Throws as `recordImage`. */
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

  /** Always false, so that an image that is already in the store gets its name. */
  hasManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    const ingest = await this.#deps.content.beginIngest(blob.descriptor, options);
    if (ingest === undefined) return;
    // Checks no size here: the space for the whole image is checked before its layers are unpacked.
    try {
      await this.guard(() =>
        keepingReserve(this.#deps, { signal: options.signal }, (signal) =>
          fetchBlob(downloadOf(blob), ingest, { ...options, signal }),
        ),
      );
    } finally {
      await ingest.release();
    }
  }

  putManifest(manifest: RawManifest): Promise<void> {
    this.#manifest = manifest;
    return Promise.resolve();
  }

  /** Unpacks the image unless it was taken whole, and records it. */
  async commit(): Promise<void> {
    if (this.#manifest === undefined) return;
    if (this.#fetched === undefined) await this.takeImage(blobsLeftOut(this.name), this.#manifest);
    const { image } = this.#fetched!;
    await this.guard(async () => {
      // After a power cut, the source may be gone.
      await this.#deps.snapshots.sync();
      await this.record(image, { name: formatReference(this.#reference!) });
    });
  }

  async close(): Promise<void> {
    const [applier, lacksRoom] = [this.#applier, this.#lacksRoom];
    this.#applier = undefined;
    this.#lacksRoom = false;
    await closeAll([
      () => applier?.close(),
      () => this.#lock.release(),
      () => (lacksRoom ? this.#made.giveBack(this.#deps) : undefined),
      () => this.blobs.drop(this.#deps),
      () => this.blobs.keep(),
    ]);
  }

  async #missing({ layers }: NewImage): Promise<Descriptor[]> {
    const present = await Promise.all(layers.map(({ digest }) => this.#deps.content.stat(digest)));
    return layers.filter((_layer, i) => present[i] === undefined);
  }
}

/** Opens the store for `work` and closes it afterwards. Throws AbortError, and as `work`. */
export async function withStoreDestination<T>(
  deps: StoreDestinationDeps,
  options: StoreDestinationOptions,
  work: (store: StoreDestination) => Promise<T>,
): Promise<T> {
  const store = await StoreDestination.open(deps, options);
  return thenCloseAll(() => store.guard(() => work(store)), [() => store.close()]);
}

/** Opens the local store as a destination. Throws InvalidReferenceError, UsageError (for a digest), AbortError. */
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
  await orCloseAll(() => store.begin(), [() => store.close()]);
  return store;
}

/** The source for an image that arrived blob by blob: a missing blob was left out, or removed as damaged. */
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
