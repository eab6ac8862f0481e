import type { ImageArchiveWriter } from '../../archive/index.js';
import type { Digest, ManifestFormat } from '../../spec/index.js';
import { openStoredImage, type StoredImage, type StoredImageDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnusedBlobs, findAmong } from '../store/index.js';

/** What saving needs. */
export type SaveDeps = StoredImageDeps & Pick<OperationDeps, 'metadata'>;

/** What to save and where to. */
export interface SaveRequest {
  /** Names, IDs or unique prefixes, in the order of the archive. */
  readonly images: readonly string[];
  /** Writes manifests in this format; default: as they are. */
  readonly manifestFormat?: ManifestFormat | undefined;
  /** Begins the archive, once all images are found. */
  readonly createArchive: () => Promise<ImageArchiveWriter>;
  readonly signal: AbortSignal;
}

/** One image of the archive. */
export interface SavedImage {
  readonly id: Digest;
  /** The name it has there, if any. */
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
}

/**
 * Writes images of the store into an archive, all bytes as they are but for the format of manifests, in an order that depends on the images alone. One that
 * is given by ID gets no name there. A layer whose blob is nowhere any more is packed anew. Throws NotFoundError (no such
 * image; a blob is nowhere, its files neither), UsageError, and what the archive throws.
 */
export async function saveImages(deps: SaveDeps, request: SaveRequest): Promise<SavedImage[]> {
  const { signal } = request;
  const made: Digest[] = [];
  // Nobody removes blobs meanwhile.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const images = await deps.metadata.images.list();
    const found = request.images.map((image) => findAmong(images, image));
    const archive = await request.createArchive();
    let finished = false;
    try {
      const saved: SavedImage[] = [];
      for (const { record, name } of found) {
        const image = await openStoredImage(deps, record, { images, made, format: request.manifestFormat, signal });
        await saveImage(deps, archive, { image, name, signal });
        saved.push({ id: image.record.id, name, digest: image.manifest.descriptor.digest });
      }
      await archive.finish();
      finished = true;
      return saved;
    } finally {
      if (!finished) await archive.discard();
    }
  } finally {
    lock.release();
    await dropUnusedBlobs(deps, made);
  }
}

async function saveImage(
  { progress }: SaveDeps,
  archive: ImageArchiveWriter,
  job: { readonly image: StoredImage; readonly name: string | undefined; readonly signal: AbortSignal },
): Promise<void> {
  const { image, name, signal } = job;
  for (const blob of image.blobs) {
    if (await archive.has(blob)) continue;
    const { digest, size: total } = blob;
    const event = (state: 'active' | 'done', transferred: number): void =>
      progress.event({ v: 1, kind: 'blob', action: 'save', digest, state, transferred, total });
    await archive.putBlob(image.blob(blob), { signal, onProgress: (transferred) => event('active', transferred) });
    event('done', total);
  }
  await archive.putManifest(image.manifest);
  await archive.addImage(image.manifest, { name });
}
