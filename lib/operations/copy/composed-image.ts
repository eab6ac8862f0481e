import { Readable } from 'node:stream';
import { NotFoundError } from '../../errors.js';
import {
  formatPlatform,
  type Descriptor,
  type Digest,
  type ImageManifest,
  type ImageSelector,
  type ImageSource,
  type ManifestFormat,
  MEDIA_TYPE,
  parseManifest,
  type Platform,
  rawManifest,
  type RawManifest,
  type RepositoryName,
  type ReopenableBlob,
} from '../../spec/index.js';
import type { ImageDocuments } from '../store/index.js';

/** Creates an index with one image per platform. Duplicate images are listed once. */
export function indexOf(
  images: readonly { readonly manifest: Descriptor; readonly platform: Platform }[],
  { format }: { readonly format: ManifestFormat },
): RawManifest {
  const entries = new Map<string, Descriptor>();
  for (const { manifest, platform } of images) {
    const { mediaType, digest, size } = manifest;
    const key = `${digest} ${formatPlatform(platform)}`;
    if (!entries.has(key)) entries.set(key, { mediaType, digest, size, platform });
  }
  const mediaType = format === 'v2s2' ? MEDIA_TYPE.dockerManifestList : MEDIA_TYPE.ociIndex;
  return rawManifest({ schemaVersion: 2, mediaType, manifests: [...entries.values()] });
}

/** A repository that has the blob. */
export interface BlobPlace {
  readonly place: RepositoryName;
  readonly digest: Digest;
}

/** A new image as the source of a copy. */
export class ComposedImage implements ImageSource {
  readonly name = 'the new image';
  readonly documents: ImageDocuments;
  readonly #blobs: ReadonlyMap<Digest, ReopenableBlob>;
  readonly #places: readonly BlobPlace[];

  /** `blobs`: the layers' blobs. `places`: repositories from which they can be mounted. */
  constructor(
    documents: ImageDocuments,
    { blobs, places }: { readonly blobs: ReadonlyMap<Digest, ReopenableBlob>; readonly places: readonly BlobPlace[] },
  ) {
    this.documents = documents;
    this.#blobs = blobs;
    this.#places = places;
  }

  neighboursAt(host: string, blob?: Pick<Descriptor, 'digest'>): string[] {
    const having = this.#places.filter(({ digest }) => blob === undefined || blob.digest === digest);
    const places = having.filter(({ place }) => place.host === host);
    return [...new Set(places.map(({ place }) => place.repository))];
  }

  manifest(): Promise<RawManifest> {
    return Promise.resolve(this.documents.manifest);
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    const { config, configBytes } = this.documents;
    if (descriptor.digest === config.digest) {
      return { descriptor, open: ({ offset }) => Promise.resolve(Readable.from([configBytes.subarray(offset)])) };
    }
    const blob = this.#blobs.get(descriptor.digest);
    if (blob !== undefined) return blob;
    throw new NotFoundError(`the new image has no blob ${descriptor.digest}`, {
      kind: 'blob',
      subject: descriptor.digest,
    });
  }

  async *tags(): AsyncGenerator<string> {
    // A new image has no tags.
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A new index as the source of a copy. */
export class ComposedIndex implements ImageSource {
  readonly name = 'the new index';
  readonly #index: RawManifest;
  readonly #images: readonly ImageSource[];
  readonly #manifests = new Map<Digest, RawManifest>();
  readonly #owners = new Map<Digest, ImageSource>();
  readonly #onClose: () => Promise<void>;

  constructor(
    index: RawManifest,
    images: readonly { readonly manifest: RawManifest; readonly source: ImageSource }[],
    onClose = (): Promise<void> => Promise.resolve(),
  ) {
    this.#onClose = onClose;
    this.#index = index;
    this.#images = images.map(({ source }) => source);
    for (const { manifest, source } of images) {
      const { digest, mediaType } = manifest.descriptor;
      const { config, layers } = parseManifest(manifest.bytes, mediaType, `manifest ${digest}`) as ImageManifest;
      this.#manifests.set(digest, manifest);
      for (const blob of [config, ...layers]) if (!this.#owners.has(blob.digest)) this.#owners.set(blob.digest, source);
    }
  }

  neighboursAt(host: string, blob?: Pick<Descriptor, 'digest'>): string[] {
    return [...new Set(this.#images.flatMap((image) => image.neighboursAt?.(host, blob) ?? []))];
  }

  manifest({ digest }: ImageSelector): Promise<RawManifest> {
    const found =
      digest === undefined || digest === this.#index.descriptor.digest ? this.#index : this.#manifests.get(digest);
    if (found !== undefined) return Promise.resolve(found);
    throw new NotFoundError(`the new index has no manifest ${digest}`, { kind: 'manifest', subject: digest! });
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    const owner = this.#owners.get(descriptor.digest);
    if (owner !== undefined) return owner.blob(descriptor);
    throw new NotFoundError(`the new index has no blob ${descriptor.digest}`, {
      kind: 'blob',
      subject: descriptor.digest,
    });
  }

  async *tags(): AsyncGenerator<string> {
    // A new image has no tags.
  }

  close(): Promise<void> {
    return this.#onClose();
  }
}
