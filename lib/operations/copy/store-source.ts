import type { Readable } from 'node:stream';
import { NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import {
  parseManifest,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageSelector,
  type ImageSource,
  type RawManifest,
  type ReopenableBlob,
  type Abortable,
} from '../../spec/index.js';
import { closeAll, orCloseAll } from '../../util/index.js';
import { readVerified } from '../convert/index.js';
import { blobNotFoundError, BlobPlaces, fromFirstPlace } from '../download/index.js';
import { openRegistrySource } from '../registry/index.js';
import { dropUnusedBlobs, findAmong } from '../store/index.js';
import { ComposedIndex } from './composed-image.js';
import { type StoredLayerDeps, StoredLayers } from './stored-layers.js';

/** One image of the local store, with its manifest there, as a source. Requires the store's lock. */
export class StoreSource implements ImageSource {
  readonly name: string;
  readonly files: StoredLayers;
  readonly #deps: StoredLayerDeps;
  readonly #record: ImageRecord;
  readonly #places: BlobPlaces;
  readonly #onClose: () => Promise<void>;

  /**
   * `images`: all image records, which name other places of blobs. Appends the digests of blobs fetched into the store
   * to `made`.
   */
  constructor(
    deps: StoredLayerDeps,
    record: ImageRecord,
    options: {
      readonly images: readonly ImageRecord[];
      readonly made: Digest[];
      readonly name?: string;
      readonly onClose?: () => Promise<void>;
    },
  ) {
    this.#deps = deps;
    this.#record = record;
    this.#places = new BlobPlaces(options.images);
    this.#onClose = options.onClose ?? (() => Promise.resolve());
    this.name = options.name ?? `store:${record.id}`;
    this.files = new StoredLayers(deps, record, { places: this.#places, made: options.made });
  }

  /** `tag`: a name of the image, its ID or a prefix of the ID. */
  async manifest({ tag, digest }: ImageSelector, { signal }: Abortable): Promise<RawManifest> {
    signal.throwIfAborted();
    const { manifest } = this.#record;
    if (digest === undefined && tag !== undefined) findAmong([this.#record], tag);
    if (digest !== undefined && digest !== manifest.digest)
      throw new NotFoundError(`${this.name} has no manifest ${digest}`, { kind: 'manifest', subject: digest });
    return { bytes: await this.#deps.content.read(manifest.digest), descriptor: manifest };
  }

  /** Reads from the store, or from a registry that is known to have the blob. */
  blob(descriptor: Descriptor): ReopenableBlob {
    const { content } = this.#deps;
    const elsewhere = {
      descriptor,
      open: (how: Abortable & { readonly offset: number }) => this.#fetch(descriptor, how),
    };
    return {
      descriptor,
      isVerified: true,
      open: async (how) => {
        if ((await content.stat(descriptor.digest)) !== undefined) return content.open(descriptor.digest, how);
        return how.offset === 0 ? readVerified(elsewhere, how) : elsewhere.open(how);
      },
    };
  }

  neighboursAt(host: string, blob?: Pick<Descriptor, 'digest'>): readonly string[] {
    const { layers, config } = this.#record;
    const places = (blob === undefined ? [...layers, config] : [blob]).flatMap((one) => this.#places.of(one));
    return [...new Set(places.filter((place) => place.host === host).map(({ repository }) => repository))];
  }

  // oxlint-disable-next-line typescript/require-await
  async *tags(): AsyncGenerator<string> {
    yield* this.#record.names;
  }

  close(): Promise<void> {
    return this.#onClose();
  }

  async #fetch(descriptor: Descriptor, how: Abortable & { readonly offset: number }): Promise<Readable> {
    const stream = await fromFirstPlace(this.#places.of(descriptor), async (place) => {
      return (await openRegistrySource(this.#deps.registry, place, how)).blob(descriptor).open(how);
    });
    if (stream === undefined) throw blobNotFoundError(descriptor);
    return stream;
  }
}

/** Locks the store and opens an index as a source. Throws NotFoundError when some of its images are missing. */
export function openStoreIndex(deps: StoredLayerDeps, index: Digest, { signal }: Abortable): Promise<ImageSource> {
  return opened(deps, signal, async (parts) => {
    const source = await indexSource(deps, index, parts);
    if (source !== undefined) return source;
    throw new NotFoundError(`the store does not have all images of the index ${index}`, {
      kind: 'manifest',
      subject: index,
    });
  });
}

/**
 * Locks the store and opens an image (name, ID or ID prefix) as a source. `all`: the index that the image was chosen
 * from, if the store has all its images. Throws NotFoundError, UsageError.
 */
export function openStoreSource(
  deps: StoredLayerDeps,
  image: string,
  { all = false, signal }: Abortable & { readonly all?: boolean },
): Promise<ImageSource> {
  return opened(deps, signal, async (parts) => {
    const { record } = findAmong(parts.images, image);
    const whole = all && record.index !== undefined ? await indexSource(deps, record.index.digest, parts) : undefined;
    return whole ?? new StoreSource(deps, record, { name: `store:${image}`, ...parts });
  });
}

/** The state that the sources of one opening share. */
interface OpenedStore {
  readonly images: readonly ImageRecord[];
  readonly made: Digest[];
  readonly onClose: () => Promise<void>;
}

async function opened(
  deps: StoredLayerDeps,
  signal: AbortSignal,
  open: (parts: OpenedStore) => Promise<ImageSource>,
): Promise<ImageSource> {
  const made: Digest[] = [];
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  const onClose = (): Promise<void> => closeAll([() => lock.release(), () => dropUnusedBlobs(deps, made.splice(0))]);
  return orCloseAll(async () => open({ images: await deps.metadata.images.list(), made, onClose }), [onClose]);
}

/** An index with its recorded images; undefined when some are not in the store. */
async function indexSource(
  deps: StoredLayerDeps,
  index: Digest,
  { images, made, onClose }: OpenedStore,
): Promise<ImageSource | undefined> {
  const own = images.filter((image) => image.index?.digest === index);
  const descriptor = own[0]?.index;
  if (descriptor === undefined) return undefined;
  const bytes = await deps.content.read(index);
  const { manifests } = parseManifest(bytes, descriptor.mediaType, `index ${index}`) as ImageIndex;
  const members: { readonly manifest: RawManifest; readonly source: ImageSource }[] = [];
  for (const { digest } of manifests) {
    const record = own.find(({ manifest }) => manifest.digest === digest);
    if (record === undefined) return undefined;
    const manifest = { bytes: await deps.content.read(digest), descriptor: record.manifest };
    members.push({ manifest, source: new StoreSource(deps, record, { images, made }) });
  }
  return new ComposedIndex({ bytes, descriptor }, members, onClose);
}
