import type { ImageRecord } from '../../metadata/index.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatOf,
  isKeptElsewhere,
  type ManifestFormat,
  type RawManifest,
  type ReopenableBlob,
} from '../../spec/index.js';
import { BlobPlaces, storedBlob } from '../download/index.js';
import { type PrepareDeps, preparePush } from './prepare-push.js';

/** What reading images of the store needs; registries only when a blob is not in the store any more. */
export type StoredImageDeps = Omit<PrepareDeps, 'registry'> & { readonly registry: () => Promise<RegistryClient> };

/** An image of the store with all its bytes. */
export interface StoredImage {
  readonly record: ImageRecord;
  readonly manifest: RawManifest;
  /** Layers oldest first, then the config; without those that are kept elsewhere on purpose. */
  readonly blobs: readonly Descriptor[];
  /** A blob, from the store or a registry that is known to have it. Throws NotFoundError when it is opened and nowhere. */
  blob(descriptor: Descriptor): ReopenableBlob;
}

/**
 * Gets hold of all bytes of an image: a layer whose blob is nowhere any more is packed anew from its files, and then digests
 * change, which is said. Call with the store locked. `made` is told of blobs that are in the store only for this. Throws
 * NotFoundError when a blob is nowhere and its files neither.
 */
export async function openStoredImage(
  deps: StoredImageDeps,
  image: ImageRecord,
  options: {
    readonly images: readonly ImageRecord[];
    readonly made: Digest[];
    /** Writes the manifest so; default: as it is. */
    readonly format?: ManifestFormat | undefined;
    readonly signal: AbortSignal;
  },
): Promise<StoredImage> {
  const { images, made, format, signal } = options;
  const places = new BlobPlaces(images);
  const { record, manifest } = await completed(deps, image, { places, made, format, signal });
  const blobs: Descriptor[] = [];
  for (const blob of [...record.layers, record.config]) {
    if (!isKeptElsewhere(blob) || (await deps.content.stat(blob.digest)) !== undefined) blobs.push(blob);
  }
  return {
    record,
    manifest,
    blobs,
    blob: (descriptor) => ({
      descriptor,
      open: async (where) => {
        if ((await deps.content.stat(descriptor.digest)) !== undefined) {
          return deps.content.open(descriptor.digest, where);
        }
        const source = storedBlob({ ...deps, registry: await deps.registry() }, descriptor, places);
        return (await source).open(where);
      },
    }),
  };
}

/** The image as it is, in another format, or with repacked layers. */
async function completed(
  deps: StoredImageDeps,
  record: ImageRecord,
  options: {
    readonly places: BlobPlaces;
    readonly made: Digest[];
    readonly format: ManifestFormat | undefined;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly record: ImageRecord; readonly manifest: RawManifest }> {
  const asItIs = { bytes: await deps.content.read(record.manifest.digest), descriptor: record.manifest };
  const isOther = options.format !== undefined && options.format !== formatOf(record.manifest.mediaType);
  if (!isOther && !(await hasLostLayer(deps, record, options.places))) return { record, manifest: asItIs };
  return preparePush({ ...deps, registry: await deps.registry() }, record, {
    ...options,
    lost: new Set(),
    isThere: () => Promise.resolve(false),
    dry: false,
  });
}

/** Whether the blob of a layer is neither here nor at a registry that is known to have it. */
async function hasLostLayer({ content }: StoredImageDeps, record: ImageRecord, places: BlobPlaces): Promise<boolean> {
  for (const layer of record.layers) {
    if (isKeptElsewhere(layer) || places.of(layer).length > 0) continue;
    if ((await content.stat(layer.digest)) === undefined) return true;
  }
  return false;
}
