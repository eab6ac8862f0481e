import { DiskSpaceError, NotFoundError } from '../errors.js';
import type { LayerApplier } from '../layer/index.js';
import type { ImageRecord } from '../metadata/index.js';
import type { RepositoryReader } from '../registry/index.js';
import {
  formatPlatform,
  formatReference,
  platformScore,
  type Descriptor,
  type Digest,
  type Reference,
} from '../spec/index.js';
import { startArrivals } from './blob-arrivals.js';
import type { OperationDeps } from './deps.js';
import { dropDamagedBlobs } from './drop-damaged-blobs.js';
import { tagOrDigest } from './inspect-image.js';
import { lockStore } from './lock-store.js';
import {
  blobStates,
  bytesToFetch,
  bytesUnpacked,
  lookUpImage,
  missingSteps,
  MAX_CONFIG_BYTES,
  type FoundAtRegistry,
  type ImageQuery,
  type PulledLayer,
} from './look-up-image.js';
import { recordImage } from './record-image.js';
import { sealLayers } from './seal-layers.js';
import { sweepStore } from './sweep-store.js';
import { unpackLayers, type LayerStep } from './unpack-layers.js';

/** When the registry is asked: always; only if the image is missing; if its digest changed (or it is missing); never. */
export type PullPolicy = 'always' | 'missing' | 'newer' | 'never';

/** What to pull. */
export interface PullRequest extends ImageQuery {
  readonly policy: PullPolicy;
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
  /** The boot this machine is in. */
  readonly bootId: string;
}

type PullDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'registry' | 'createApplier' | 'progress'>;

/** Result of a pull; `bytes` and `requests` as sent by the registry. */
export interface PullResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest of this platform. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/**
 * Brings an image into the store: blobs fetched in parallel, layers unpacked oldest first while they arrive, image record
 * last. Idempotent: running again resumes. Throws what the registry, the store and the layers throw; AbortError.
 */
export async function pullImage(deps: PullDeps, request: PullRequest): Promise<PullResult> {
  const started = performance.now();
  const before = { ...deps.registry.statistics };
  const finish = (record: ImageRecord, layers: readonly PulledLayer[]): PullResult => ({
    id: record.id,
    name: formatReference(request.reference),
    digest: record.manifest.digest,
    layers,
    bytes: deps.registry.statistics.bytesReceived - before.bytesReceived,
    requests: deps.registry.statistics.requests - before.requests,
    seconds: (performance.now() - started) / 1000,
  });
  const present = (record: ImageRecord): PulledLayer[] =>
    record.layers.map(({ digest, size }) => ({ digest, size, state: 'present' }));

  const lock = await lockStore(deps, request);
  try {
    const local = await findComplete(deps, request);
    if (local.named !== undefined && local.settled) return finish(local.named, present(local.named));
    if (request.policy === 'never') throw missingLocally(request.reference);
    const repository = await deps.registry.open(request.reference, request);
    if (local.named !== undefined) {
      const head = await repository.resolve(tagOrDigest(request.reference), request);
      if (isFrom(local.named, head.digest)) return finish(local.named, present(local.named));
    }
    await sweepStore(deps);
    return finish(...(await bringIn(deps, repository, request)));
  } finally {
    lock.release();
  }
}

async function bringIn(
  deps: PullDeps,
  repository: RepositoryReader,
  request: PullRequest,
): Promise<[record: ImageRecord, layers: PulledLayer[]]> {
  // Its threads take a while to start: let them while the registry is asked.
  const applier = deps.createApplier();
  try {
    const found = await lookUpImage(repository, request, {
      readConfig: (config) => fetchConfig(deps, repository, config, request.signal),
      onNote: (line) => deps.progress.note(line),
    });
    for (let repaired = false; ; repaired = true) {
      const missing = await missingSteps((layer) => deps.snapshots.has(layer), found.steps);
      const states = await blobStates(deps.content, found.steps, missing);
      await requireSpace(deps, missing, states, request.reserveBytes);
      try {
        if (missing.length > 0) await fetchAndUnpack(deps, repository, applier, { missing, request });
      } catch (error) {
        // Blobs of earlier runs are trusted until they make trouble.
        const held = states.filter(({ state }) => state === 'present').map(({ digest }) => digest);
        if (repaired || !(await dropDamagedBlobs(deps, error, held))) throw error;
        continue;
      }
      request.signal.throwIfAborted();
      return [await writeRecord(deps, request, found), states];
    }
  } finally {
    await applier.close();
  }
}

async function fetchAndUnpack(
  deps: PullDeps,
  repository: RepositoryReader,
  applier: LayerApplier,
  { missing, request }: { readonly missing: readonly LayerStep[]; readonly request: PullRequest },
): Promise<void> {
  const { bootId } = request;
  // What earlier commands wrote is made safe while this one downloads.
  const sealing = sealEarlier(deps, bootId);
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  const arrivals = startArrivals(deps, repository, { blobs: missing.map((step) => step.blob), signal });
  try {
    await unpackLayers(deps, arrivals, applier, { steps: missing, bootId, signal });
  } catch (error) {
    failure.abort(error);
    // btrfs frees a removed subvolume lazily: without this the next command still finds the disk full.
    if (error instanceof DiskSpaceError) await deps.snapshots.sync();
    throw error;
  } finally {
    await arrivals.close();
    await sealing;
  }
}

/** Fetches the config into the store and reads it. */
async function fetchConfig(
  deps: PullDeps,
  repository: RepositoryReader,
  config: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  for (let repaired = false; ; repaired = true) {
    const arrivals = startArrivals(deps, repository, { blobs: [config], signal });
    try {
      await arrivals.done(config.digest);
    } finally {
      await arrivals.close();
    }
    try {
      return await deps.content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES });
    } catch (error) {
      if (repaired || !(await dropDamagedBlobs(deps, error, [config.digest]))) throw error;
    }
  }
}

/** A failure is no reason to fail a pull: the layers stay unsealed, and the next command tries again. */
async function sealEarlier({ metadata, snapshots, progress }: PullDeps, bootId: string): Promise<void> {
  try {
    await sealLayers({ metadata, snapshots, bootId });
  } catch (error) {
    progress.note(`layers of earlier pulls could not be made safe against power loss: ${(error as Error).message}`);
  }
}

async function requireSpace(
  deps: PullDeps,
  missing: readonly LayerStep[],
  states: readonly PulledLayer[],
  reserveBytes: number,
): Promise<void> {
  if (missing.length === 0) return;
  const needed = bytesToFetch(states) + bytesUnpacked(missing);
  const space = await deps.snapshots.space();
  const available = Math.max(0, Math.min(space.dataFree, space.backingFree ?? Infinity) - reserveBytes);
  if (needed <= available) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  throw new DiskSpaceError(
    `the image needs about ${megabytes(needed)}, the store has ${megabytes(available)} beside the reserve of ${megabytes(reserveBytes)}`,
    { needed, available, hint: 'remove images with imgtool rmi, or lower the reserve with --reserve' },
  );
}

async function writeRecord(
  deps: PullDeps,
  request: PullRequest,
  { resolved, config, steps }: FoundAtRegistry,
): Promise<ImageRecord> {
  const { raw, index, manifest } = resolved;
  await deps.content.put(raw.bytes, raw.descriptor.digest);
  if (index !== undefined) await deps.content.put(index.bytes, index.descriptor.digest);
  const { reference } = request;
  const id = manifest.config.digest;
  const tagged = reference.tag === undefined ? undefined : nameOf(reference, reference.tag);
  const platform = { os: config.os, architecture: config.architecture };
  return recordImage(
    deps,
    {
      id,
      manifest: raw.descriptor,
      config: manifest.config,
      ...(index === undefined ? {} : { index: index.descriptor }),
      layers: steps.map((step) => step.blob),
      diffIds: steps.map((step) => step.diffId),
      chainIds: steps.map((step) => step.chainId),
      ...(typeof config.created === 'string' ? { created: config.created } : {}),
      platform: formatPlatform(config.variant === undefined ? platform : { ...platform, variant: config.variant }),
    },
    {
      name: tagged,
      source: `${reference.host}/${reference.repository}@${raw.descriptor.digest}`,
      signal: request.signal,
    },
  );
}

/** The local image of that name or digest if all its layers are there; `settled`: no need to ask the registry. */
async function findComplete(
  deps: PullDeps,
  request: PullRequest,
): Promise<{ named: ImageRecord | undefined; settled: boolean }> {
  const { reference, policy, platform } = request;
  const full = formatReference(reference);
  for (const record of await deps.metadata.images.list()) {
    const byDigest = reference.digest !== undefined && isFrom(record, reference.digest);
    if (!byDigest && !(reference.digest === undefined && record.names.includes(full))) continue;
    const [os, architecture, variant] = record.platform.split('/') as [string, string, string?];
    if (
      request.platformGiven &&
      platformScore(platform, variant === undefined ? { os, architecture } : { os, architecture, variant }) === 0
    )
      continue;
    if (!(await isComplete(deps, record))) continue;
    const named =
      reference.tag === undefined ||
      record.names.includes(
        formatReference({ host: reference.host, repository: reference.repository, tag: reference.tag }),
      );
    return { named: record, settled: policy === 'missing' || policy === 'never' || (byDigest && named) };
  }
  return { named: undefined, settled: false };
}

async function isComplete(deps: PullDeps, record: ImageRecord): Promise<boolean> {
  const top = record.chainIds.at(-1);
  return top === undefined || (await deps.snapshots.has(top));
}

function isFrom(record: ImageRecord, digest: Digest): boolean {
  return record.manifest.digest === digest || record.index?.digest === digest;
}

function missingLocally(reference: Reference): NotFoundError {
  const subject = formatReference(reference);
  return new NotFoundError(`${subject} is not in the store`, {
    kind: 'image',
    subject,
    hint: 'pull it without --policy never',
  });
}

function nameOf({ host, repository }: Reference, tag: string): string {
  return formatReference({ host, repository, tag });
}
