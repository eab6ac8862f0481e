import { NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import { type Digest, formatReference, platformScore, type Reference, tagOrDigest } from '../../spec/index.js';
import { bringInImage } from '../copy/index.js';
import { MadeLayers, type PulledLayer } from '../layers/index.js';
import { resolveDocument } from '../registry/index.js';
import {
  dropUnusedBlobs,
  isComplete,
  isForWantOfRoom,
  lockStore,
  type NewImage,
  recordImage,
  sweepStore,
} from '../store/index.js';
import { pullSchema1 } from './pull-schema1.js';
import type { PullDeps, PullRequest, PullResult } from './pull-request.js';
import { pullV1 } from './pull-v1.js';

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

  const fetched: Digest[] = [];
  const made = new MadeLayers();
  let isFull = false;
  const lock = await lockStore(deps, request);
  try {
    const local = await findComplete(deps, request);
    if (local.named !== undefined && local.settled) return finish(local.named, present(local.named));
    if (request.policy === 'never') throw notInStoreError(request.reference, local.damaged);
    let v1 = await deps.registry.openV1(request.reference, request);
    if (v1 === undefined) {
      const repository = await deps.registry.open(request.reference, request);
      try {
        if (local.named !== undefined) {
          const head = await repository.resolve(tagOrDigest(request.reference), request);
          if (isFrom(local.named, head.digest)) return finish(local.named, present(local.named));
        }
        await sweepStore(deps);
        return finish(...(await bringIn(deps, repository, { ...request, made })));
      } catch (error) {
        v1 = await deps.registry.openV1(request.reference, { signal: request.signal, after: error });
        if (v1 === undefined) throw error;
      }
    }
    await sweepStore(deps);
    return finish(...(await pullV1(deps, v1, { request, named: local.named, fetched })));
  } catch (error) {
    isFull = isForWantOfRoom(error);
    throw error;
  } finally {
    lock.release();
    if (isFull) await made.giveBack(deps);
    await dropUnusedBlobs(deps, fetched);
  }
}

async function bringIn(
  deps: PullDeps,
  repository: RepositoryReader,
  request: PullRequest,
): Promise<[record: ImageRecord, layers: PulledLayer[]]> {
  // Its threads take a while to start: let them while the registry is asked.
  const applier = await deps.createApplier();
  try {
    const resolved = await resolveDocument(repository, tagOrDigest(request.reference), request);
    if ('schema1' in resolved) return await pullSchema1(deps, repository, applier, { ...resolved, request });
    const { image, layers } = await bringInImage(deps, repository, applier, { resolved, request });
    return [await writeRecord(deps, request, image), layers];
  } finally {
    await applier.close();
  }
}

/** Under the tag asked for, if any; its blobs are known to be in the repository. */
function writeRecord(deps: PullDeps, { reference, signal }: PullRequest, image: NewImage): Promise<ImageRecord> {
  const name = reference.tag === undefined ? undefined : nameOf(reference, reference.tag);
  const source = `${reference.host}/${reference.repository}@${image.manifest.digest}`;
  return recordImage(deps, image, { name, source, signal });
}

/** The local image of that name or digest if it is whole; `settled`: no need to ask the registry. `damaged`: one is not. */
async function findComplete(
  deps: PullDeps,
  request: PullRequest,
): Promise<{ named: ImageRecord | undefined; settled: boolean; damaged: boolean }> {
  const { reference, policy, platform } = request;
  const full = formatReference(reference);
  let damaged = false;
  for (const record of await deps.metadata.images.list()) {
    const byDigest = reference.digest !== undefined && isFrom(record, reference.digest);
    if (!byDigest && !(reference.digest === undefined && record.names.includes(full))) continue;
    const [os, architecture, variant] = record.platform.split('/') as [string, string, string?];
    if (
      request.platformGiven &&
      platformScore(platform, variant === undefined ? { os, architecture } : { os, architecture, variant }) === 0
    )
      continue;
    if (!(await isComplete(deps, record))) {
      damaged = true;
      continue;
    }
    const named =
      reference.tag === undefined ||
      record.names.includes(
        formatReference({ host: reference.host, repository: reference.repository, tag: reference.tag }),
      );
    return { named: record, settled: policy === 'missing' || policy === 'never' || (byDigest && named), damaged };
  }
  return { named: undefined, settled: false, damaged };
}

/**
 * Images that came without config and manifest have the digest at their registry among their sources only. Where the
 * manifest is one of a registry, another source is no proof: it may be of another manifest with the same config.
 */
function isFrom({ manifest, index, sources }: ImageRecord, digest: Digest): boolean {
  const isSource = (one: Digest): boolean => sources.some((source) => source.endsWith(`@${one}`));
  if (manifest.digest === digest || index?.digest === digest) return true;
  return isSource(digest) && !isSource(manifest.digest);
}

function notInStoreError(reference: Reference, damaged: boolean): NotFoundError {
  const subject = formatReference(reference);
  return new NotFoundError(`${subject} is ${damaged ? 'incomplete' : 'not'} in the store`, {
    kind: 'image',
    subject,
    hint: 'pull it without --policy never',
  });
}

function nameOf({ host, repository }: Reference, tag: string): string {
  return formatReference({ host, repository, tag });
}
