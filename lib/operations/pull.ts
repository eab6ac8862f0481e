import { NotFoundError } from '../errors.js';
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
  describeImage,
  missingSteps,
  MAX_CONFIG_BYTES,
  type FoundAtRegistry,
  type ImageQuery,
  type PulledLayer,
} from './look-up-image.js';
import { pullSchema1 } from './pull-schema1.js';
import { recordImage } from './record-image.js';
import { requireSpace } from './require-space.js';
import { resolveDocument } from './resolve-image.js';
import { sweepStore } from './sweep-store.js';
import { unpackLayers } from './unpack-layers.js';
import { whileFetching } from './while-fetching.js';

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

/** What pulling needs. */
export type PullDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'snapshots' | 'registry' | 'createApplier' | 'progress'
>;

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
    const resolved = await resolveDocument(repository, tagOrDigest(request.reference), request);
    if ('schema1' in resolved) return await pullSchema1(deps, repository, applier, { ...resolved, request });
    const found = await describeImage(resolved, request, {
      readConfig: (config) => fetchConfig(deps, repository, config, request.signal),
      onNote: (line) => deps.progress.note(line),
    });
    for (let repaired = false; ; repaired = true) {
      const missing = await missingSteps((layer) => deps.snapshots.has(layer), found.steps);
      const states = await blobStates(deps.content, found.steps, missing);
      await requireSpace(deps, missing, states, request.reserveBytes);
      try {
        const blobs = missing.map((step) => step.blob);
        if (missing.length > 0)
          await whileFetching(deps, repository, { blobs, ...request }, (arrivals, signal) =>
            unpackLayers(deps, arrivals, applier, { steps: missing, bootId: request.bootId, signal }),
          );
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

/** Images that came without config and manifest have the digest at their registry among their sources only. */
function isFrom(record: ImageRecord, digest: Digest): boolean {
  return (
    record.manifest.digest === digest ||
    record.index?.digest === digest ||
    record.sources.some((source) => source.endsWith(`@${digest}`))
  );
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
