import { InvalidReferenceError } from '../errors.js';
import type { ImageRecord } from '../metadata/index.js';
import type { RepositoryWriter } from '../registry/index.js';
import { formatReference, type Descriptor, type Digest, type RawManifest, type Reference } from '../spec/index.js';
import { mapLimited } from '../util/index.js';
import { BlobPlaces } from './blob-places.js';
import type { OperationDeps } from './deps.js';
import { isKeptElsewhere, MAX_MOUNT_SOURCES, pushBlob, type PushBlobDeps, type PushedState } from './push-blob.js';
import { recordImage } from './record-image.js';

/** What to push and where to. */
export interface PushRequest {
  readonly record: ImageRecord;
  /** Host and repository; its tag, if any, is set. */
  readonly reference: Reference;
  /** Further tags to set. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal;
}

/** A blob of the result; bytes. */
export interface PushedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: PushedState;
}

/** Result of a push; `bytes`: body bytes sent. */
export interface PushResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly layers: readonly PushedLayer[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/** What a push would do; bytes. */
export interface PushPlan {
  readonly reference: string;
  readonly digest: Digest;
  /** `mounted` and `uploaded` say what would happen. */
  readonly layers: readonly PushedLayer[];
  readonly uploadBytes: number;
  readonly mountBytes: number;
  readonly presentBytes: number;
}

/** Uploads under way at the same time; each waits for its turn at the host besides. */
const PARALLEL_BLOBS = 6;
const MAX_MOUNT_REPOSITORIES = 10;

/**
 * Pushes an image: all blobs, each asked for once, then the manifest with its bytes as they are, the tags last. Running
 * again resumes. Throws NotFoundError (a blob is nowhere), InvalidReferenceError (the digest in the reference is another),
 * and what the registry throws.
 */
export async function pushImage(deps: PushBlobDeps, request: PushRequest): Promise<PushResult> {
  const started = performance.now();
  const before = { ...deps.registry.statistics };
  const { record, reference, signal } = request;
  checkDigest(request);
  // Nobody removes blobs meanwhile.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const manifest = await readManifest(deps, record);
    const places = new BlobPlaces(await deps.metadata.images.list());
    const writer = await openWriter(deps, request, places);
    const known = await isKnownThere(writer, request);
    const states = known ? undefined : await pushBlobs(deps, writer, { blobs: blobsOf(record), places, signal });
    const tags = [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...request.tags])];
    if (tags.length === 0 && !known) await writer.putManifest(manifest, { digest: record.manifest.digest }, { signal });
    for (const tag of tags) await writer.putManifest(manifest, { tag }, { signal });
    await addSource(deps, request);
    const { statistics } = deps.registry;
    return {
      id: record.id,
      name: formatReference(reference),
      digest: record.manifest.digest,
      tags,
      layers: record.layers.map(({ digest, size }) => ({ digest, size, state: states?.get(digest) ?? 'present' })),
      bytes: statistics.bytesSent - before.bytesSent,
      requests: statistics.requests - before.requests,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    lock.release();
  }
}

/** Asks for what is there, at the target and where blobs may be mounted from; changes nothing. Throws as `pushImage`. */
export async function planPush(deps: PushBlobDeps, request: PushRequest): Promise<PushPlan> {
  const { record, reference, signal } = request;
  checkDigest(request);
  const places = new BlobPlaces(await deps.metadata.images.list());
  const writer = await openWriter(deps, request, places);
  const known = await isKnownThere(writer, request);
  const stateOf = async (blob: Descriptor): Promise<PushedState> => {
    if (known || (await writer.hasBlob(blob.digest, { signal }))) return 'present';
    if (isKeptElsewhere(blob) && (await deps.content.stat(blob.digest)) === undefined) return 'skipped';
    for (const repository of places.mountable(blob, writer, MAX_MOUNT_SOURCES)) {
      const other = await deps.registry.openWriter({ host: writer.host, repository }, { signal });
      if (await other.hasBlob(blob.digest, { signal })) return 'mounted';
    }
    return 'uploaded';
  };
  const blobs = blobsOf(record);
  const states = await mapLimited(blobs, PARALLEL_BLOBS, stateOf);
  const sum = (wanted: PushedState): number =>
    blobs.reduce((total, { size }, i) => total + (states[i] === wanted ? size : 0), 0);
  const layers = record.layers.map(({ digest, size }) => {
    const state = states[blobs.findIndex((blob) => blob.digest === digest)]!;
    return { digest, size, state };
  });
  return {
    reference: formatReference(reference),
    digest: record.manifest.digest,
    layers,
    uploadBytes: sum('uploaded') + (known ? 0 : record.manifest.size),
    mountBytes: sum('mounted'),
    presentBytes: sum('present'),
  };
}

function checkDigest({ record, reference }: PushRequest): void {
  const { digest } = reference;
  if (digest === undefined || digest === record.manifest.digest) return;
  throw new InvalidReferenceError(`the image's manifest is ${record.manifest.digest}, not ${digest}`, {
    input: formatReference(reference),
    hint: 'leave the digest out: what is pushed decides it',
  });
}

async function readManifest({ content }: PushBlobDeps, record: ImageRecord): Promise<RawManifest> {
  return { bytes: await content.read(record.manifest.digest), descriptor: record.manifest };
}

function openWriter(
  { registry }: PushBlobDeps,
  { record, reference, signal }: PushRequest,
  places: BlobPlaces,
): Promise<RepositoryWriter> {
  const sources = blobsOf(record).flatMap((blob) => places.mountable(blob, reference, MAX_MOUNT_SOURCES));
  const mountFrom = [...new Set(sources)].slice(0, MAX_MOUNT_REPOSITORIES);
  return registry.openWriter(reference, { signal, mountFrom });
}

/** Whether the image is there already: asked only where it was before. */
async function isKnownThere(writer: RepositoryWriter, { record, signal }: PushRequest): Promise<boolean> {
  const { digest } = record.manifest;
  if (!record.sources.includes(`${writer.host}/${writer.repository}@${digest}`)) return false;
  return writer.hasManifest(digest, { signal });
}

async function pushBlobs(
  deps: PushBlobDeps,
  writer: RepositoryWriter,
  job: { readonly blobs: readonly Descriptor[]; readonly places: BlobPlaces; readonly signal: AbortSignal },
): Promise<Map<Digest, PushedState>> {
  const failure = new AbortController();
  const signal = AbortSignal.any([job.signal, failure.signal]);
  const states = new Map<Digest, PushedState>();
  // Whatever fails first ends the others; all have let go before it is told.
  let first: unknown;
  await mapLimited(job.blobs, PARALLEL_BLOBS, async (blob) => {
    if (failure.signal.aborted) return;
    try {
      states.set(blob.digest, await pushBlob(deps, writer, { blob, places: job.places, signal }));
    } catch (error) {
      first ??= error;
      failure.abort(error);
    }
  });
  if (first !== undefined) throw first as Error;
  return states;
}

/** From now on the blobs are known to be there. */
async function addSource(
  deps: Pick<OperationDeps, 'metadata'>,
  { record, reference, signal }: PushRequest,
): Promise<void> {
  const { version: _version, names: _names, sources: _sources, pulled: _pulled, ...image } = record;
  const source = `${reference.host}/${reference.repository}@${record.manifest.digest}`;
  await recordImage(deps, image, { source, signal });
}

/** Each once, the config last: it is small, and nothing waits for it. */
function blobsOf({ layers, config }: ImageRecord): Descriptor[] {
  return [...new Map([...layers, config].map((blob) => [blob.digest, blob])).values()];
}
