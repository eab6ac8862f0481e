import { AlreadyExistsError, ArchiveFormatError, UnsupportedMediaTypeError } from '../../errors.js';
import type { ArchivedImage, ImageArchive } from '../../archive/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import { isNonDistributable, platformScore, type Digest } from '../../spec/index.js';
import { type StoreDestinationDeps, type StoreDestinationOptions, withStoreDestination } from '../copy/index.js';
import { type FetchedImage, presentLayers, type PlatformQuery, type PulledLayer } from '../layers/index.js';
import { type ResolvedImage, resolveImage } from '../registry/index.js';
import { isComplete, newImageOf } from '../store/index.js';

export type LoadDeps = StoreDestinationDeps;

export interface LoadRequest extends StoreDestinationOptions, PlatformQuery {
  /** The caller closes it. */
  readonly archive: ImageArchive;
  /** Reassigns names that other images already have. */
  readonly replace: boolean;
}

/** An image of the archive that is now in the store. */
export interface LoadedImage {
  readonly id: Digest;
  /** Its new full references. */
  readonly names: readonly string[];
  /** Digest of its manifest. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
}

/** An image of the archive, resolved for the platform. */
interface Planned {
  readonly archived: ArchivedImage;
  readonly id: Digest;
  readonly resolved: ResolvedImage;
  /** The image in the store, if it is complete with all layers and blobs. */
  readonly present: ImageRecord | undefined;
}

/**
 * Loads all images of an archive into the store, one platform each; names are set last, when all images are in the
 * store. Idempotent: a second run resumes. Throws AlreadyExistsError (another image has the name), ArchiveFormatError,
 * and the errors of unpacking and the store.
 */
export function loadImages(deps: LoadDeps, request: LoadRequest): Promise<LoadedImage[]> {
  const { archive, replace } = request;
  return withStoreDestination(deps, request, async (store) => {
    const planned = await plan(deps, request);
    await checkNames(deps, planned, replace);
    await store.begin();
    const fetched: Pick<FetchedImage, 'image' | 'layers'>[] = [];
    for (const { resolved, present } of planned)
      fetched.push(
        present === undefined
          ? await store.fetch(archive, resolved, { ...request, keepBlobs: true })
          : { image: newImageOf(present), layers: presentLayers(present) },
      );
    // The archive may no longer exist after a power cut, so everything is synced before an image is listed.
    await deps.snapshots.sync();
    const loaded: LoadedImage[] = [];
    for (const [i, { image, layers }] of fetched.entries()) {
      const { names } = planned[i]!.archived;
      for (const name of names.length === 0 ? [undefined] : names)
        await store.record(image, { name, ...(replace ? {} : { takenError: nameTakenError }) });
      loaded.push({ id: image.id, names, digest: image.manifest.digest, layers });
    }
    return loaded;
  });
}

/** Reads the manifests of all images; skips everything else (a signature, another platform's image). */
async function plan(deps: LoadDeps, { archive, platform, signal }: LoadRequest): Promise<Planned[]> {
  const fits = ({ descriptor }: ArchivedImage): boolean =>
    descriptor.platform === undefined || platformScore(platform, descriptor.platform) > 0;
  const fitting = archive.images.filter(fits);
  const reader = { manifest: ({ digest }: { readonly digest?: Digest }) => archive.manifest(digest!) };
  const planned: Planned[] = [];
  let odd: UnsupportedMediaTypeError | undefined;
  for (const archived of fitting.length > 0 ? fitting : archive.images) {
    try {
      const resolved = await resolveImage(reader, archived.descriptor, { platform, signal });
      const id = resolved.manifest.config.digest;
      planned.push({ archived, id, resolved, present: await findPresent(deps, id, resolved.raw.descriptor.digest) });
    } catch (error) {
      if (!(error instanceof UnsupportedMediaTypeError)) throw error;
      deps.progress.note(error.message);
      odd ??= error;
    }
  }
  if (planned.length > 0) return planned;
  throw odd ?? new ArchiveFormatError('the archive has no images');
}

async function findPresent(deps: LoadDeps, id: Digest, manifest: Digest): Promise<ImageRecord | undefined> {
  const record = (await deps.metadata.images.ofImage(id)).find((one) => one.manifest.digest === manifest);
  if (record === undefined || !(await isComplete(deps, record))) return undefined;
  for (const layer of record.layers)
    if (!isNonDistributable(layer) && (await deps.content.stat(layer.digest)) === undefined) return undefined;
  return record;
}

/** Called before anything is written. Throws AlreadyExistsError, and ArchiveFormatError if two images of the archive have the same name. */
async function checkNames(
  { metadata, progress }: Pick<LoadDeps, 'metadata' | 'progress'>,
  planned: readonly Planned[],
  replace: boolean,
): Promise<void> {
  const records = await metadata.images.list();
  const owners = new Map<string, Digest>();
  for (const { archived, id } of planned) {
    for (const name of archived.names) {
      if ((owners.get(name) ?? id) !== id) throw new ArchiveFormatError(`two images of the archive are named ${name}`);
      owners.set(name, id);
      const holder = records.find((record) => record.id !== id && record.names.includes(name));
      if (holder === undefined) continue;
      if (!replace) throw nameTakenError(name, holder.id);
      progress.note(
        `${name} was image ${holder.id}, which keeps ${holder.names.length === 1 ? 'no name' : 'its others'}`,
      );
    }
  }
}

function nameTakenError(name: string, holder: Digest): AlreadyExistsError {
  return new AlreadyExistsError(`${name} is another image in the store already: ${holder}`, {
    kind: 'image',
    subject: name,
    hint: 'move the name with --replace, or give the one in the store another with "imgtool tag"',
  });
}
