import { NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { Descriptor, Digest, ImageSelector, ImageSource, RawManifest, ReopenableBlob } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnusedBlobs, findAmong } from '../store/index.js';
import { openStoredImage, type StoredImage, type StoredImageDeps } from './stored-image.js';

interface Signal {
  readonly signal: AbortSignal;
}

type SourceDeps = StoredImageDeps & Pick<OperationDeps, 'metadata'>;

/** One image of the local store, to copy from. Holds the store, so that nobody removes its blobs. */
class StoreSource implements ImageSource {
  readonly name: string;
  readonly #record: ImageRecord;
  readonly #image: StoredImage;
  readonly #close: () => Promise<void>;

  /** `record`: as the store lists it; that of `image` is another one where layers had to be packed once more. */
  constructor(name: string, record: ImageRecord, image: StoredImage, close: () => Promise<void>) {
    this.name = name;
    this.#record = record;
    this.#image = image;
    this.#close = close;
  }

  /** `tag`: a name of the image, its ID or a prefix of that. */
  // eslint-disable-next-line @typescript-eslint/require-await
  async manifest({ tag, digest }: ImageSelector, { signal }: Signal): Promise<RawManifest> {
    signal.throwIfAborted();
    const { manifest } = this.#image;
    if (digest === undefined && tag !== undefined) findAmong([this.#record], tag);
    if (digest !== undefined && digest !== manifest.descriptor.digest)
      throw new NotFoundError(`${this.name} has no manifest ${digest}`, { kind: 'manifest', subject: digest });
    return manifest;
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return this.#image.blob(descriptor);
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  async *tags(): AsyncGenerator<string> {
    yield* this.#record.names;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/** Opens an image of the store (name, ID or prefix of one) to copy from. Throws NotFoundError, UsageError. */
export async function openStoreSource(deps: SourceDeps, image: string, { signal }: Signal): Promise<ImageSource> {
  const made: Digest[] = [];
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  const close = async (): Promise<void> => {
    lock.release();
    await dropUnusedBlobs(deps, made.splice(0));
  };
  try {
    const images = await deps.metadata.images.list();
    const { record } = findAmong(images, image);
    const stored = await openStoredImage(deps, record, { images, made, signal });
    return new StoreSource(`store:${image}`, record, stored, close);
  } catch (error) {
    await close();
    throw error;
  }
}
