import type { ImageArchiveWriter } from '../../archive/index.js';
import { type Digest, type ManifestFormat, parseManifest } from '../../spec/index.js';
import { StoreSpool } from '../convert/index.js';
import { copyImage, CopyLimits, StoreSource, type StoredLayerDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnusedBlobs, findAmong } from '../store/index.js';
import { SavedArchive } from './saved-archive.js';

export type SaveDeps = StoredLayerDeps & Pick<OperationDeps, 'recompressLayer'>;

export interface SaveRequest {
  /** Names, IDs or unique prefixes, in the order of the archive. */
  readonly images: readonly string[];
  /** Format of manifests. Default: unchanged. */
  readonly manifestFormat?: ManifestFormat | undefined;
  /** Creates the archive once all images are found. */
  readonly createArchive: () => Promise<ImageArchiveWriter>;
  readonly signal: AbortSignal;
}

/** A saved image. */
export interface SavedImage {
  readonly id: Digest;
  /** Its name in the archive, if any. */
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
}

/**
 * Writes images of the store to an archive. All bytes stay unchanged except for a new manifest format, and the order
 * depends only on the images. An image given by ID gets no name. A layer without a copy of its blob is repacked. Throws
 * NotFoundError (no such image, or neither blob nor files of a layer), UsageError, and the errors of the archive.
 */
export async function saveImages(deps: SaveDeps, request: SaveRequest): Promise<SavedImage[]> {
  const { manifestFormat: format, signal } = request;
  const { recompressLayer, progress } = deps;
  const made: Digest[] = [];
  const convert = { recompressLayer, progress, createSpool: () => new StoreSpool(deps, made) };
  const tripDeps = { progress, limits: new CopyLimits(1), convert, action: 'save' as const };
  // Prevents other processes from removing blobs.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const images = await deps.metadata.images.list();
    const found = request.images.map((image) => findAmong(images, image));
    const archive = await request.createArchive();
    let finished = false;
    try {
      const saved: SavedImage[] = [];
      const destination = new SavedArchive(archive, deps.content);
      for (const { record, name } of found) {
        const { raw } = await copyImage(tripDeps, {
          ...{ source: new StoreSource(deps, record, { images, made }), selector: {}, selection: { kind: 'all' } },
          ...{ conversion: { format }, preserveDigests: false, referrers: false, signal },
          targets: [{ destination, tags: name === undefined ? [] : [name] }],
        });
        const { digest, mediaType } = raw.descriptor;
        const manifest = parseManifest(raw.bytes, mediaType, `manifest ${digest}`);
        const id = manifest.kind === 'manifest' ? manifest.config.digest : record.id;
        saved.push({ id, name, digest });
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
