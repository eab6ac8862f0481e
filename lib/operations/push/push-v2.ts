import { InvalidReferenceError, NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { type Digest, formatReference, type ImageManifest, parseManifest, type RawManifest } from '../../spec/index.js';
import { HashSpool, StoreSpool } from '../convert/index.js';
import {
  type CopiedBlob,
  type CopiedState,
  type CopyDeps,
  copyImage,
  CopyLimits,
  type CopyRequest,
  openRegistryDestination,
  planImageCopy,
  StoreSource,
  UploadRecords,
} from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { BlobPlaces } from '../download/index.js';
import { dropUnusedBlobs, isUnwritable, newImageOf, recordImage } from '../store/index.js';
import { type PushDeps, type PushPlan, type PushRequest, type PushResult, tagsOf } from './push-request.js';

/** Concurrent uploads; the limit per host applies too. */
const PARALLEL_BLOBS = 6;

/** Source, destination and settings of a push. */
interface Trip {
  readonly source: StoreSource;
  readonly deps: CopyDeps;
  readonly request: CopyRequest;
  /** Blobs known to be at the destination. */
  readonly known: BlobPlaces;
}

/** Pushes by protocol v2. */
export async function pushV2(
  deps: PushDeps,
  request: PushRequest,
): Promise<Omit<PushResult, 'bytes' | 'requests' | 'seconds'>> {
  const { record, reference, signal } = request;
  const made: Digest[] = [];
  // Prevents other processes from removing blobs.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const trip = await openTrip(deps, request, { made, dryRun: false });
    const { digest, raw, targets } = await copyUntilFound(trip);
    const { blobs, tags } = targets[0]!;
    const own = new Set([...record.layers, record.config].map((blob) => blob.digest));
    const isRecorded = request.format !== 'v2s1' && blobs.every((blob) => own.has(blob.digest));
    if (isRecorded) await addSource(deps, request, digest);
    const { config, layers } = imageOf(raw);
    const states = new Map(blobs.map((blob) => [blob.digest, blob.state]));
    return {
      id: config.digest,
      name: formatReference(reference),
      digest,
      tags,
      layers: layers.map((layer) => stateOf(layer, states)),
    };
  } finally {
    lock.release();
    await dropUnusedBlobs(deps, made);
  }
}

/** Plans `pushV2`. */
export async function planPushV2(deps: PushDeps, request: PushRequest): Promise<PushPlan> {
  const trip = await openTrip(deps, request, { made: [], dryRun: true });
  const { blobs, raw, top, there } = await planImageCopy(trip.deps, { ...trip.request, known: trip.known });
  const states = new Map(blobs.map(({ blob, states }) => [blob.digest, states[0]!]));
  const sum = (wanted: CopiedState): number =>
    blobs.reduce((total, { blob }) => total + (states.get(blob.digest) === wanted ? blob.size : 0), 0);
  return {
    reference: formatReference(request.reference),
    digest: top.descriptor.digest,
    layers: imageOf(raw).layers.map((layer) => stateOf(layer, states)),
    uploadBytes: sum('uploaded') + (there.every(Boolean) ? 0 : top.bytes.length),
    mountBytes: sum('mounted'),
    presentBytes: sum('present'),
  };
}

async function openTrip(
  deps: PushDeps,
  request: PushRequest,
  { made, dryRun }: { readonly made: Digest[]; readonly dryRun: boolean },
): Promise<Trip> {
  const { record, reference, signal, compression } = request;
  const { registry, recompressLayer, progress } = deps;
  const format = request.format === 'v1' ? undefined : request.format;
  const images = await deps.metadata.images.list();
  const known = new BlobPlaces();
  const source = new StoreSource(deps, record, { images, made });
  const destination = await openRegistryDestination(registry, reference, {
    known,
    mountFrom: source,
    uploads: dryRun ? undefined : new UploadRecords(deps, reference),
    mayHave: (digest) => record.sources.includes(`${reference.host}/${reference.repository}@${digest}`),
    signal,
  });
  const createSpool = (): HashSpool | StoreSpool => (dryRun ? new HashSpool() : new StoreSpool(deps, made));
  return {
    ...{ source, known },
    deps: { progress, limits: new CopyLimits(PARALLEL_BLOBS), convert: { recompressLayer, progress, createSpool } },
    request: {
      ...{ source, selector: {}, selection: { kind: 'all' }, conversion: { format, compression } },
      ...{ preserveDigests: false, referrers: false },
      targets: [{ destination, tags: tagsOf(request) }],
      check: (digest) => checkDigest(request, digest),
      signal,
    },
  };
}

/** Copies again if a blob is not where it was known to be; its layer is then repacked. */
async function copyUntilFound({ source, deps, request }: Trip): ReturnType<typeof copyImage> {
  for (;;) {
    try {
      return await copyImage(deps, request);
    } catch (error) {
      const isLost = error instanceof NotFoundError && error.kind === 'blob';
      if (!isLost || !source.files.lose(error.subject)) throw error;
    }
  }
}

function checkDigest({ reference }: PushRequest, actual: Digest): void {
  const { digest } = reference;
  if (digest === undefined || digest === actual) return;
  throw new InvalidReferenceError(`the image's manifest is ${actual}, not ${digest}`, {
    input: formatReference(reference),
    hint: 'omit the digest; it follows from the pushed image',
  });
}

function imageOf({ bytes, descriptor }: RawManifest): ImageManifest {
  const where = `manifest ${descriptor.digest}`;
  const document = parseManifest(bytes, descriptor.mediaType, where);
  if (document.kind === 'index') throw new TypeError(`${where} is an index`);
  return document;
}

function stateOf(
  { digest, size }: Pick<CopiedBlob, 'digest' | 'size'>,
  states: ReadonlyMap<Digest, CopiedState>,
): CopiedBlob {
  return { digest, size, state: states.get(digest) ?? 'present' };
}

/** Records that the destination now has the blobs. */
async function addSource(
  deps: Pick<OperationDeps, 'metadata' | 'progress'>,
  { record, reference, signal }: { readonly record: ImageRecord } & Pick<PushRequest, 'reference' | 'signal'>,
  digest: Digest,
): Promise<void> {
  const source = `${reference.host}/${reference.repository}@${digest}`;
  // Skips the write when it is already recorded, so that a push works with a full or read-only store.
  if ((await deps.metadata.images.find(record))?.sources.includes(source) === true) return;
  try {
    await recordImage(deps, newImageOf(record), { source, signal });
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    deps.progress.note(`the image is pushed, but the store cannot note where to: ${(error as Error).message}`);
  }
}
