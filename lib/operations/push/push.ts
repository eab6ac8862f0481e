import { InvalidReferenceError, NotFoundError, UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { RepositoryWriter, V1Repository } from '../../registry/index.js';
import { mapLimited } from '../../util/index.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
  EMPTY_LAYER,
  formatReference,
  isKeptElsewhere,
  type RawManifest,
  type Reference,
} from '../../spec/index.js';
import {
  MAX_MOUNT_SOURCES,
  type PrepareDeps,
  type PreparedImage,
  preparePush,
  type PushConversion,
} from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { BlobPlaces } from '../download/index.js';
import { byProtocol } from '../registry/index.js';
import { dropUnusedBlobs, isUnwritable, newImageOf, recordImage } from '../store/index.js';
import { asSchema1, type Schema1Image } from './as-schema1.js';
import { pushBlob, type PushBlobDeps, type PushedState } from './push-blob.js';
import type { PushPlan, PushRequest, PushResult } from './push-request.js';
import { planPushV1, pushV1 } from './push-v1.js';

/** Uploads under way at the same time; each waits for its turn at the host besides. */
const PARALLEL_BLOBS = 6;
const MAX_MOUNT_REPOSITORIES = 10;

type PushDeps = PushBlobDeps & PrepareDeps;

/**
 * Pushes an image: all blobs, each asked for once, then the manifest with its bytes as they are (unless another format or
 * compression is asked for), the tags last. Running again resumes. A layer whose blob is nowhere any more is packed anew.
 * Throws NotFoundError (a blob is nowhere, its files neither), InvalidReferenceError (the digest in the reference is
 * another), what `preparePush` throws and what the registry throws.
 */
export async function pushImage(deps: PushDeps, request: PushRequest): Promise<PushResult> {
  return byProtocol(deps.registry, targetOf(request), {
    v2: () => pushByV2(deps, request),
    v1: (repository) => pushByV1(deps, repository, request),
    reasonOf: (error) => reasonForV1(request, error),
    signal: request.signal,
  });
}

function targetOf({ reference, format }: PushRequest): Reference {
  return format === 'v1' ? { ...reference, registryVersion: 1 } : reference;
}

/**
 * What a failed push by v2 tells about the host: nothing when the form asked for exists in v2 only. Where there is no v2
 * registry at all, it is a blob that is not found.
 */
function reasonForV1({ format, compression }: PushRequest, error: unknown): unknown {
  if (format !== undefined || compression !== undefined) return undefined;
  if (!(error instanceof NotFoundError)) return error;
  return new NotFoundError(error.message, { kind: 'repository', subject: error.subject, cause: error });
}

async function pushByV1(deps: PushDeps, repository: V1Repository, request: PushRequest): Promise<PushResult> {
  const started = performance.now();
  const before = { ...deps.registry.statistics };
  const { signal } = request;
  checkV1Request(repository, request);
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const result = await pushV1(deps, repository, { ...request, tags: tagsOf(request) });
    const { statistics } = deps.registry;
    return {
      ...result,
      bytes: statistics.bytesSent - before.bytesSent,
      requests: statistics.requests - before.requests,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    lock.release();
  }
}

/** Throws UsageError for what v1 cannot do. */
function checkV1Request({ host }: V1Repository, { format, compression }: PushRequest): void {
  if ((format !== undefined && format !== 'v1') || compression !== undefined) {
    throw new UsageError(`${host} speaks registry protocol v1, which has no manifests and takes layers as they are`, {
      hint: 'leave out --format and --compression',
    });
  }
}

async function pushByV2(deps: PushDeps, request: PushRequest): Promise<PushResult> {
  const started = performance.now();
  const before = { ...deps.registry.statistics };
  const { reference, signal } = request;
  const made: Digest[] = [];
  // Nobody removes blobs meanwhile.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const places = new BlobPlaces(await deps.metadata.images.list());
    const writer = await openWriter(deps, request, places);
    const { image, schema1, states, known } = await pushAllBlobs(deps, writer, { request, places, made });
    const { manifest, record } = image;
    const tags = tagsOf(request);
    const manifests = schema1?.manifests ?? tags.map((tag) => ({ tag, raw: manifest }));
    const { digest } = (manifests[0]?.raw ?? manifest).descriptor;
    if (tags.length === 0 && !known) await writer.putManifest(manifest, { digest }, { signal });
    for (const { tag, raw } of manifests) await writer.putManifest(raw, { tag }, { signal });
    if (!image.hasOtherBlobs && schema1 === undefined) await addSource(deps, request, digest);
    const { statistics } = deps.registry;
    return {
      id: record.id,
      name: formatReference(reference),
      digest,
      tags,
      layers: record.layers.map((blob) => ({
        digest: blob.digest,
        size: blob.size,
        state: states.get(blob.digest) ?? 'present',
      })),
      bytes: statistics.bytesSent - before.bytesSent,
      requests: statistics.requests - before.requests,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    lock.release();
    await dropUnusedBlobs(deps, made);
  }
}

/** Brings the blobs there; prepares again when one turns out to be lost where it was known to be. */
async function pushAllBlobs(
  deps: PushDeps,
  writer: RepositoryWriter,
  job: { readonly request: PushRequest; readonly places: BlobPlaces; readonly made: Digest[] },
): Promise<{
  readonly image: PreparedImage;
  readonly schema1: Schema1Image | undefined;
  readonly states: Map<Digest, PushedState>;
  readonly known: boolean;
}> {
  const { request, places, made } = job;
  const { signal } = request;
  const states = new Map<Digest, PushedState>();
  const lost = new Set<Digest>();
  for (;;) {
    const isThere = (digest: Digest): Promise<boolean> => isBlobThere(writer, digest, { states, signal });
    const options = { ...conversionOf(request), places, lost, isThere, made, dry: false, signal };
    const image = await preparePush(deps, request.record, options);
    const schema1 = await schema1Of(deps, request, image);
    const empty = digestOf(EMPTY_LAYER);
    if (schema1?.blobs.some(({ digest }) => digest === empty) === true) made.push(await deps.content.put(EMPTY_LAYER));
    checkDigest(request, schema1?.manifests[0]?.raw ?? image.manifest);
    const known = schema1 === undefined && (await isKnownThere(writer, image, signal));
    if (known) return { image, schema1, states, known };
    try {
      const blobs = (schema1?.blobs ?? blobsOf(image.record)).filter(({ digest }) => !states.has(digest));
      await pushBlobs(deps, writer, { blobs, states, places, signal });
      return { image, schema1, states, known };
    } catch (error) {
      const digest = error instanceof NotFoundError && error.kind === 'blob' ? error.subject : undefined;
      const layer = request.record.layers.find((blob) => blob.digest === digest);
      if (layer === undefined || lost.has(layer.digest)) throw error;
      lost.add(layer.digest);
    }
  }
}

async function isBlobThere(
  writer: RepositoryWriter,
  digest: Digest,
  { states, signal }: { readonly states: Map<Digest, PushedState>; readonly signal: AbortSignal },
): Promise<boolean> {
  if (!(await writer.hasBlob(digest, { signal }))) return false;
  states.set(digest, 'present');
  return true;
}

/** Asks for what is there, at the target and where blobs may be mounted from; changes nothing. Throws as `pushImage`. */
export async function planPush(deps: PushDeps, request: PushRequest): Promise<PushPlan> {
  return byProtocol(deps.registry, targetOf(request), {
    v2: async () => {
      const plan = await planByV2(deps, request);
      if (plan.presentBytes + plan.mountBytes > 0) return plan;
      // A host that does not speak v2 at all has nothing of the image either.
      const none = new NotFoundError('nothing of the image is there', { kind: 'repository', subject: plan.reference });
      const { reference, signal } = request;
      const v1 = await deps.registry.openV1(reference, { signal, after: reasonForV1(request, none) });
      return v1 === undefined ? plan : planByV1(deps, v1, request);
    },
    v1: (repository) => planByV1(deps, repository, request),
    reasonOf: (error) => reasonForV1(request, error),
    signal: request.signal,
  });
}

function planByV1(deps: PushDeps, repository: V1Repository, request: PushRequest): Promise<PushPlan> {
  checkV1Request(repository, request);
  return planPushV1(deps, repository, { ...request, tags: tagsOf(request) });
}

async function planByV2(deps: PushDeps, request: PushRequest): Promise<PushPlan> {
  const { reference, signal } = request;
  const places = new BlobPlaces(await deps.metadata.images.list());
  const writer = await openWriter(deps, request, places);
  const there = new Map<Digest, PushedState>();
  const isThere = (digest: Digest): Promise<boolean> => isBlobThere(writer, digest, { states: there, signal });
  const options = { ...conversionOf(request), places, lost: new Set<Digest>(), isThere, made: [], dry: true, signal };
  const image = await preparePush(deps, request.record, options);
  // What a dry run would change in the config is not stored.
  const schema1 = await schema1Of(deps, request, image, request.record);
  const manifest = schema1?.manifests[0]?.raw ?? image.manifest;
  checkDigest(request, manifest);
  const { record } = image;
  const known = schema1 === undefined && (await isKnownThere(writer, image, signal));
  const stateOf = async (blob: Descriptor): Promise<PushedState> => {
    if (known || there.has(blob.digest) || (await writer.hasBlob(blob.digest, { signal }))) return 'present';
    if (isKeptElsewhere(blob)) return 'skipped';
    for (const repository of places.mountable(blob, writer, MAX_MOUNT_SOURCES)) {
      const other = await deps.registry.openWriter({ host: writer.host, repository }, { signal });
      if (await other.hasBlob(blob.digest, { signal })) return 'mounted';
    }
    return 'uploaded';
  };
  const blobs = schema1?.blobs ?? blobsOf(record);
  const states = await mapLimited(blobs, PARALLEL_BLOBS, stateOf);
  const sum = (wanted: PushedState): number =>
    blobs.reduce((total, { size }, i) => total + (states[i] === wanted ? size : 0), 0);
  const layers = record.layers.map(({ digest, size }) => {
    const state = states[blobs.findIndex((blob) => blob.digest === digest)]!;
    return { digest, size, state };
  });
  return {
    reference: formatReference(reference),
    digest: manifest.descriptor.digest,
    layers,
    uploadBytes: sum('uploaded') + (known ? 0 : manifest.bytes.length),
    mountBytes: sum('mounted'),
    presentBytes: sum('present'),
  };
}

function conversionOf({ format, compression }: PushRequest): PushConversion & { readonly schema1: boolean } {
  if (format === 'v2s1') return { format: 'v2s2', compression, schema1: true };
  return { format: format === 'v1' ? undefined : format, compression, schema1: false };
}

function schema1Of(
  deps: PushDeps,
  request: PushRequest,
  image: PreparedImage,
  { config }: Pick<ImageRecord, 'config'> = image.record,
): Promise<Schema1Image> | undefined {
  if (request.format !== 'v2s1') return undefined;
  return asSchema1(deps, image, { repository: request.reference.repository, tags: tagsOf(request), config });
}

function tagsOf({ reference, tags }: PushRequest): string[] {
  return [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...tags])];
}

function checkDigest({ reference }: PushRequest, { descriptor }: RawManifest): void {
  const { digest } = reference;
  if (digest === undefined || digest === descriptor.digest) return;
  throw new InvalidReferenceError(`the image's manifest is ${descriptor.digest}, not ${digest}`, {
    input: formatReference(reference),
    hint: 'leave the digest out: what is pushed decides it',
  });
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
async function isKnownThere(
  writer: RepositoryWriter,
  { record, manifest }: PreparedImage,
  signal: AbortSignal,
): Promise<boolean> {
  const { digest } = manifest.descriptor;
  if (!record.sources.includes(`${writer.host}/${writer.repository}@${digest}`)) return false;
  return writer.hasManifest(digest, { signal });
}

async function pushBlobs(
  deps: PushBlobDeps,
  writer: RepositoryWriter,
  job: {
    readonly blobs: readonly Descriptor[];
    readonly states: Map<Digest, PushedState>;
    readonly places: BlobPlaces;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const failure = new AbortController();
  const signal = AbortSignal.any([job.signal, failure.signal]);
  // Whatever fails first ends the others; all have let go before it is told.
  let first: unknown;
  await mapLimited(job.blobs, PARALLEL_BLOBS, async (blob) => {
    if (failure.signal.aborted) return;
    try {
      job.states.set(blob.digest, await pushBlob(deps, writer, { blob, places: job.places, signal }));
    } catch (error) {
      first ??= error;
      failure.abort(error);
    }
  });
  if (first !== undefined) throw first as Error;
}

/** From now on the blobs are known to be there. */
async function addSource(
  deps: Pick<OperationDeps, 'metadata' | 'progress'>,
  { record, reference, signal }: PushRequest,
  digest: Digest,
): Promise<void> {
  const source = `${reference.host}/${reference.repository}@${digest}`;
  // Known already: nothing to write, so that a push works from a store that is full or read-only.
  if ((await deps.metadata.images.find(record))?.sources.includes(source) === true) return;
  try {
    await recordImage(deps, newImageOf(record), { source, signal });
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    deps.progress.note(`the image is pushed, but the store cannot note where to: ${(error as Error).message}`);
  }
}

/** Each once, the config last: it is small, and nothing waits for it. */
function blobsOf({ layers, config }: ImageRecord): Descriptor[] {
  return [...new Map([...layers, config].map((blob) => [blob.digest, blob])).values()];
}
