import { NotFoundError } from '../errors.js';
import type { ImageArchiveWriter } from '../archive/index.js';
import type { ImageRecord } from '../metadata/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { Descriptor, Digest, ReopenableBlob } from '../spec/index.js';
import { BlobPlaces } from './blob-places.js';
import type { OperationDeps } from './deps.js';
import { findImage } from './find-image.js';
import { isKeptElsewhere } from './push-blob.js';

/** What saving needs; registries only when a blob is not in the store any more. */
export type SaveDeps = Pick<OperationDeps, 'content' | 'metadata' | 'progress'> & {
  readonly registry: () => Promise<RegistryClient>;
};

/** What to save and where to. */
export interface SaveRequest {
  /** Names, IDs or unique prefixes, in the order of the archive. */
  readonly images: readonly string[];
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
 * Writes images of the store into an archive, all bytes as they are, in an order that depends on the images alone. One that
 * is given by ID gets no name there. Throws NotFoundError (no such image; a blob is nowhere), UsageError, and what the
 * archive throws.
 */
export async function saveImages(deps: SaveDeps, request: SaveRequest): Promise<SavedImage[]> {
  const { signal } = request;
  // Nobody removes blobs meanwhile.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const found = [];
    for (const image of request.images) found.push(await findImage(deps, image));
    const places = new BlobPlaces(await deps.metadata.images.list());
    const archive = await request.createArchive();
    let finished = false;
    try {
      const saved: SavedImage[] = [];
      for (const { record, name } of found) {
        await saveImage(deps, archive, { record, name, places, signal });
        saved.push({ id: record.id, name, digest: record.manifest.digest });
      }
      await archive.finish();
      finished = true;
      return saved;
    } finally {
      if (!finished) await archive.discard();
    }
  } finally {
    lock.release();
  }
}

async function saveImage(
  deps: SaveDeps,
  archive: ImageArchiveWriter,
  job: {
    readonly record: ImageRecord;
    readonly name: string | undefined;
    readonly places: BlobPlaces;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { record, name, places, signal } = job;
  const manifest = { bytes: await deps.content.read(record.manifest.digest), descriptor: record.manifest };
  for (const blob of [...record.layers, record.config]) {
    if (await archive.has(blob)) continue;
    const source = await sourceOf(deps, blob, places);
    if (source === undefined) continue;
    const event = (state: 'active' | 'done', transferred: number): void =>
      deps.progress.event({
        v: 1,
        kind: 'blob',
        action: 'save',
        digest: blob.digest,
        state,
        transferred,
        total: blob.size,
      });
    await archive.putBlob(source, { signal, onProgress: (transferred) => event('active', transferred) });
    event('done', blob.size);
  }
  await archive.putManifest(manifest);
  await archive.addImage(manifest, { name });
}

/** The blob in the store, or at a registry that is known to have it; undefined for one that is kept elsewhere on purpose. */
async function sourceOf(deps: SaveDeps, blob: Descriptor, places: BlobPlaces): Promise<ReopenableBlob | undefined> {
  if ((await deps.content.stat(blob.digest)) !== undefined) {
    return { descriptor: blob, open: (options) => deps.content.open(blob.digest, options) };
  }
  if (isKeptElsewhere(blob)) return undefined;
  const place = places.of(blob)[0];
  if (place === undefined) {
    throw new NotFoundError(`blob ${blob.digest} is not in the store, and no registry is known to have it`, {
      kind: 'blob',
      subject: blob.digest,
      hint: 'pull the image again',
    });
  }
  return {
    descriptor: blob,
    open: async ({ signal }) => {
      const repository = await (await deps.registry()).open(place, { signal });
      // An archive is written from front to back: blobs are opened at their start.
      return (await repository.blob(blob).open({ signal })).body;
    },
  };
}
