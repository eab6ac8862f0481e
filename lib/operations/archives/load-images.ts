import { AlreadyExistsError, ArchiveFormatError, UnsupportedMediaTypeError } from '../../errors.js';
import type { ArchivedImage, ImageArchive } from '../../archive/index.js';
import type { LayerApplier } from '../../layer/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import { isKeptElsewhere, platformScore, type Descriptor, type Digest } from '../../spec/index.js';
import { type BringInDeps, bringInImage, type BringInRequest, type BroughtImage } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { startArrivals } from '../download/index.js';
import { MadeLayers, type PulledLayer } from '../layers/index.js';
import { type ResolvedImage, resolveImage } from '../registry/index.js';
import {
  isComplete,
  isForWantOfRoom,
  lockStore,
  type NewImage,
  newImageOf,
  recordImage,
  sweepStore,
} from '../store/index.js';

/** What loading needs. */
export type LoadDeps = BringInDeps & Pick<OperationDeps, 'createApplier'>;

/** What to load and how. */
export interface LoadRequest extends Omit<BringInRequest, 'reference'> {
  /** Open; stays so. */
  readonly archive: ImageArchive;
  /** Whether names move to the images of the archive from the images that have them. */
  readonly replace: boolean;
}

/** One image of the archive that is now in the store. */
export interface LoadedImage {
  readonly id: Digest;
  /** Full references it got. */
  readonly names: readonly string[];
  /** Digest of its manifest. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
}

/** An image of the archive, and who it will be. */
interface Planned {
  readonly archived: ArchivedImage;
  readonly id: Digest;
  readonly resolved: ResolvedImage;
  /** Set when the store has the image already, with all of its layers and their blobs. */
  readonly present: ImageRecord | undefined;
}

/**
 * Brings all images of an archive into the store, for one platform each; names last, when all images are there. Idempotent:
 * running again resumes. Throws AlreadyExistsError (another image has the name), ArchiveFormatError, and what unpacking and
 * the store throw.
 */
export async function loadImages(deps: LoadDeps, request: LoadRequest): Promise<LoadedImage[]> {
  const { archive, signal } = request;
  const store = await lockStore(deps, request);
  const made = new MadeLayers();
  let isFull = false;
  let applier: LayerApplier | undefined;
  try {
    const repository = repositoryOf(archive);
    const planned = await plan(deps, repository, request);
    await expectNamesFree(deps, planned, request.replace);
    await sweepStore(deps);
    const brought: BroughtImage[] = [];
    applier = await deps.createApplier();
    for (const { archived, resolved, present } of planned) {
      const reference = { host: 'archive', repository: 'image', digest: archived.descriptor.digest };
      const one =
        present === undefined
          ? await bringInImage(deps, repository, applier, { resolved, request: { ...request, reference, made } })
          : kept(present);
      if (present === undefined) await keepBlobs(deps, repository, one, signal);
      brought.push(one);
    }
    // An archive may be gone when power comes back: all is on disk before an image is listed.
    await deps.snapshots.sync();
    const loaded: LoadedImage[] = [];
    for (const [i, { archived }] of planned.entries()) loaded.push(await record(deps, request, brought[i]!, archived));
    return loaded;
  } catch (error) {
    isFull = isForWantOfRoom(error);
    throw error;
  } finally {
    await applier?.close();
    store.release();
    if (isFull) await made.giveBack(deps);
  }
}

/** Reads the manifests of all images; what is no image (a signature, another platform's) is left out. */
async function plan(
  deps: BringInDeps,
  repository: RepositoryReader,
  { archive, platform, signal }: LoadRequest,
): Promise<Planned[]> {
  const fits = ({ descriptor }: ArchivedImage): boolean =>
    descriptor.platform === undefined || platformScore(platform, descriptor.platform) > 0;
  const fitting = archive.images.filter(fits);
  const planned: Planned[] = [];
  let odd: UnsupportedMediaTypeError | undefined;
  for (const archived of fitting.length > 0 ? fitting : archive.images) {
    try {
      const resolved = await resolveImage(repository, archived.descriptor, { platform, signal });
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

async function findPresent(deps: BringInDeps, id: Digest, manifest: Digest): Promise<ImageRecord | undefined> {
  const record = (await deps.metadata.images.ofImage(id)).find((one) => one.manifest.digest === manifest);
  if (record === undefined || !(await isComplete(deps, record))) return undefined;
  for (const layer of record.layers)
    if (!isKeptElsewhere(layer) && (await deps.content.stat(layer.digest)) === undefined) return undefined;
  return record;
}

/** Before anything is written. Throws AlreadyExistsError; ArchiveFormatError when two images of the archive have one name. */
async function expectNamesFree(
  { metadata, progress }: Pick<BringInDeps, 'metadata' | 'progress'>,
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

function kept(record: ImageRecord): BroughtImage {
  return {
    image: newImageOf(record),
    layers: record.layers.map(({ digest, size }) => ({ digest, size, state: 'present' })),
  };
}

/** Layers that were unpacked before from another form of the blob: an archive is no place to fetch it from later. */
async function keepBlobs(
  deps: BringInDeps,
  repository: RepositoryReader,
  { image }: BroughtImage,
  signal: AbortSignal,
): Promise<void> {
  const missing: Descriptor[] = [];
  for (const layer of image.layers) if ((await deps.content.stat(layer.digest)) === undefined) missing.push(layer);
  const arrivals = startArrivals(deps, repository, { blobs: missing, signal });
  try {
    for (const { digest } of missing) await arrivals.done(digest);
  } finally {
    await arrivals.close();
  }
}

async function record(
  deps: BringInDeps,
  { replace, signal }: LoadRequest,
  { image, layers }: { readonly image: NewImage; readonly layers: readonly PulledLayer[] },
  { names }: ArchivedImage,
): Promise<LoadedImage> {
  for (const name of names.length === 0 ? [undefined] : names) {
    await recordImage(deps, image, { name, signal, ...(replace ? {} : { onTaken: nameTakenError }) });
  }
  return { id: image.id, names, digest: image.manifest.digest, layers };
}

/** An archive as a repository to pull from. */
function repositoryOf(archive: ImageArchive): RepositoryReader {
  return {
    host: 'archive',
    repository: 'image',
    resolve: async ({ digest }) => (await archive.manifest(digest!)).descriptor,
    manifest: ({ digest }) => archive.manifest(digest!),
    blob: (descriptor) => ({
      descriptor,
      open: async ({ signal, offset = 0 }) => ({
        body: await archive.blob(descriptor).open({ signal, offset }),
        restarted: false,
      }),
    }),
    async *tags() {},
    referrers: () => Promise.resolve({ via: 'api', descriptors: [] }),
  };
}
