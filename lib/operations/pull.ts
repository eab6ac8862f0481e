import { DiskSpaceError, InvalidManifestError, NotFoundError } from '../errors.js';
import type { LayerApplier } from '../layer/index.js';
import type { ImageRecord } from '../metadata/index.js';
import type { RepositoryReader, TagOrDigest } from '../registry/index.js';
import {
  chainIds,
  formatPlatform,
  formatReference,
  parseImageConfig,
  platformScore,
  type Digest,
  type ImageConfig,
  type Platform,
  type Reference,
} from '../spec/index.js';
import { startArrivals } from './blob-arrivals.js';
import type { OperationDeps } from './deps.js';
import { recordImage } from './record-image.js';
import { resolveImage, type ResolvedImage } from './resolve-image.js';
import { unpackLayers, type LayerStep } from './unpack-layers.js';

/** When the registry is asked: always; only if the image is missing; if its digest changed (or it is missing); never. */
export type PullPolicy = 'always' | 'missing' | 'newer' | 'never';

/** What to pull. */
export interface PullRequest {
  readonly reference: Reference;
  readonly platform: Platform;
  /** Whether the user named the platform: a mismatch is then an error, else a remark. */
  readonly platformGiven: boolean;
  readonly policy: PullPolicy;
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
  readonly signal: AbortSignal;
}

/** A layer of the result: sizes in bytes as stored. */
export interface PulledLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: 'fetched' | 'present';
}

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

/** What a pull would do; all sizes in bytes, `unpackedBytes` an estimate. */
export interface PullPlan {
  readonly reference: string;
  readonly digest: Digest;
  readonly platform: string;
  readonly layers: readonly PulledLayer[];
  readonly fetchBytes: number;
  readonly presentBytes: number;
  readonly unpackedBytes: number;
  readonly freeBytes: number;
}

/** Tar is about this many times its gzip or zstd form in ordinary images (813 MB of 270 MB in a Debian one). */
const UNPACK_RATIO = 3.2;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/**
 * Brings an image into the store: blobs fetched in parallel, layers unpacked oldest first while they arrive, image record
 * last. Idempotent: running again resumes. Throws what the registry, the store and the layers throw; AbortError.
 */
export async function pullImage(deps: OperationDeps, request: PullRequest): Promise<PullResult> {
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

  const lock = await deps.metadata.lock('store', { mode: 'shared', signal: request.signal });
  try {
    const local = await findComplete(deps, request);
    if (local.named !== undefined && local.settled) return finish(local.named, present(local.named));
    if (request.policy === 'never') throw missingLocally(request.reference);
    const repository = await deps.registry.open(request.reference, request);
    if (local.named !== undefined) {
      const head = await repository.resolve(tagOrDigest(request.reference), request);
      if (isFrom(local.named, head.digest)) return finish(local.named, present(local.named));
    }
    await deps.snapshots.sweep();
    return finish(...(await bringIn(deps, repository, request)));
  } finally {
    lock.release();
  }
}

/** Resolves and compares with the store; changes nothing. Throws as `pullImage` does before it fetches. */
export async function planPull(deps: OperationDeps, request: PullRequest): Promise<PullPlan> {
  const repository = await deps.registry.open(request.reference, request);
  const { resolved, steps } = await lookUp(deps, repository, request);
  const states = await blobStates(deps, steps);
  const fetchBytes = sum(states.filter(({ state }) => state === 'fetched').map(({ size }) => size));
  const { missing } = await splitSteps(deps, steps);
  return {
    reference: formatReference(request.reference),
    digest: resolved.raw.descriptor.digest,
    platform: formatPlatform(request.platform),
    layers: states,
    fetchBytes,
    presentBytes: sum(states.map(({ size }) => size)) - fetchBytes,
    unpackedBytes: unpackedBytes(missing),
    freeBytes: (await deps.snapshots.space()).dataFree,
  };
}

async function bringIn(
  deps: OperationDeps,
  repository: RepositoryReader,
  request: PullRequest,
): Promise<[record: ImageRecord, layers: PulledLayer[]]> {
  // Its threads take a while to start: let them while the registry is asked.
  const applier = deps.createApplier();
  try {
    const { resolved, config, steps } = await lookUp(deps, repository, request);
    const { missing } = await splitSteps(deps, steps);
    const states = await blobStates(deps, steps);
    await requireSpace(deps, missing, states, request.reserveBytes);
    await fetchAndUnpack(deps, repository, applier, { missing, signal: request.signal });
    request.signal.throwIfAborted();
    return [await writeRecord(deps, request, { resolved, config, steps }), states];
  } finally {
    await applier.close();
  }
}

async function fetchAndUnpack(
  deps: OperationDeps,
  repository: RepositoryReader,
  applier: LayerApplier,
  { missing, signal: outer }: { readonly missing: readonly LayerStep[]; readonly signal: AbortSignal },
): Promise<void> {
  const failure = new AbortController();
  const signal = AbortSignal.any([outer, failure.signal]);
  const arrivals = startArrivals(deps, repository, { blobs: missing.map((step) => step.blob), signal });
  try {
    await unpackLayers(deps, arrivals, applier, { steps: missing, signal });
  } catch (error) {
    failure.abort(error);
    // btrfs frees a removed subvolume lazily: without this the next command still finds the disk full.
    if (error instanceof DiskSpaceError) await deps.snapshots.sync();
    throw error;
  } finally {
    await arrivals.close();
  }
}

async function lookUp(
  deps: OperationDeps,
  repository: RepositoryReader,
  request: PullRequest,
): Promise<{ resolved: ResolvedImage; config: ImageConfig; steps: LayerStep[] }> {
  const resolved = await resolveImage(repository, tagOrDigest(request.reference), request);
  const { manifest } = resolved;
  const where = `config ${manifest.config.digest}`;
  if (manifest.config.size > MAX_CONFIG_BYTES) {
    throw new InvalidManifestError(`${where} is ${manifest.config.size} bytes, over the limit of ${MAX_CONFIG_BYTES}`, {
      where,
    });
  }
  const arrivals = startArrivals(deps, repository, { blobs: [manifest.config], signal: request.signal });
  try {
    await arrivals.done(manifest.config.digest);
  } finally {
    await arrivals.close();
  }
  const config = parseImageConfig(
    await deps.content.read(manifest.config.digest, { maxBytes: MAX_CONFIG_BYTES }),
    where,
  );
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw new InvalidManifestError(`${where} names ${diffIds.length} layers, its manifest ${manifest.layers.length}`, {
      where,
    });
  }
  checkPlatform(deps, request, config);
  const chain = chainIds(diffIds);
  const steps = manifest.layers.map((blob, i): LayerStep => ({
    blob,
    diffId: diffIds[i]!,
    chainId: chain[i]!,
    parent: chain[i - 1],
  }));
  return { resolved, config, steps };
}

function checkPlatform(deps: OperationDeps, request: PullRequest, config: ImageConfig): void {
  const { os, architecture, variant } = config;
  if (typeof os !== 'string' || typeof architecture !== 'string') return;
  const have: Platform = variant === undefined ? { os, architecture } : { os, architecture, variant };
  if (platformScore(request.platform, have) > 0) return;
  const message = `the image is for ${formatPlatform(have)}, not ${formatPlatform(request.platform)}`;
  if (!request.platformGiven) return deps.progress.note(`${message}: it will not run here`);
  throw new NotFoundError(message, {
    kind: 'platform',
    subject: formatPlatform(request.platform),
    hint: 'leave out --platform, or choose another image',
  });
}

/** Layers below the highest one present need nothing: a snapshot holds all of its parents' files. */
async function splitSteps(deps: OperationDeps, steps: readonly LayerStep[]): Promise<{ missing: LayerStep[] }> {
  for (let top = steps.length; top > 0; top--) {
    if (await deps.snapshots.has(steps[top - 1]!.chainId)) return { missing: steps.slice(top) };
  }
  return { missing: [...steps] };
}

async function blobStates(deps: OperationDeps, steps: readonly LayerStep[]): Promise<PulledLayer[]> {
  const { missing } = await splitSteps(deps, steps);
  return Promise.all(
    steps.map(async (step): Promise<PulledLayer> => {
      const { digest, size } = step.blob;
      const here = !missing.includes(step) || (await deps.content.stat(digest)) !== undefined;
      return { digest, size, state: here ? 'present' : 'fetched' };
    }),
  );
}

async function requireSpace(
  deps: OperationDeps,
  missing: readonly LayerStep[],
  states: readonly PulledLayer[],
  reserveBytes: number,
): Promise<void> {
  if (missing.length === 0) return;
  const needed =
    sum(states.filter(({ state }) => state === 'fetched').map(({ size }) => size)) + unpackedBytes(missing);
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
  deps: OperationDeps,
  request: PullRequest,
  { resolved, config, steps }: { resolved: ResolvedImage; config: ImageConfig; steps: readonly LayerStep[] },
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
  deps: OperationDeps,
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

async function isComplete(deps: OperationDeps, record: ImageRecord): Promise<boolean> {
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

function tagOrDigest({ tag, digest }: Reference): TagOrDigest {
  if (digest !== undefined) return tag === undefined ? { digest } : { digest, tag };
  return { tag: tag! };
}

function unpackedBytes(steps: readonly LayerStep[]): number {
  return Math.round(sum(steps.map(({ blob }) => blob.size * (/gzip|zstd/.test(blob.mediaType) ? UNPACK_RATIO : 1))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function nameOf({ host, repository }: Reference, tag: string): string {
  return formatReference({ host, repository, tag });
}
