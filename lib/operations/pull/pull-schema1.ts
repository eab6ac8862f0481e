import type { LayerApplier } from '../../layer/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import { formatReference, type Descriptor, type Schema1Manifest } from '../../spec/index.js';
import { damagedBlobError, dropDamagedBlobs, whileFetching } from '../download/index.js';
import {
  blobStates,
  checkPlatform,
  keepingReserve,
  knownSteps,
  type LayerStep,
  type PulledLayer,
  requireSpace,
  sealImage,
  unpackUnsealed,
} from '../layers/index.js';
import { configOfSchema1, layersOfSchema1, leafOf } from '../registry/index.js';
import type { PullDeps, PullRequest } from './pull-request.js';

/**
 * Brings an image of Docker's schema 1 into the store: its layers are fetched and unpacked, and then it gets the config and
 * manifest that it came without. Throws as `pullImage`.
 */
export async function pullSchema1(
  deps: PullDeps,
  repository: RepositoryReader,
  applier: LayerApplier,
  { schema1, request }: { readonly schema1: Schema1Manifest; readonly request: PullRequest },
): Promise<[record: ImageRecord, layers: PulledLayer[]]> {
  const { repository: asked, tag: askedTag } = request.reference;
  // Proxies and copied tags serve it so; what v2 manifests are named is not signed at all.
  if (request.reference.digest === undefined && (schema1.name !== asked || schema1.tag !== askedTag)) {
    const own = JSON.stringify(`${schema1.name}:${schema1.tag}`).slice(0, 300);
    deps.progress.note(`the manifest calls itself ${own}: it is taken as ${asked}:${askedTag}`);
  }
  checkPlatform(request, leafOf(schema1), (line) => deps.progress.note(line));
  const blobs = await layersOfSchema1(deps, repository, { schema1, signal: request.signal });
  const { steps, states } = await bringLayers(deps, repository, applier, { blobs, request });
  const { host, repository: path, tag } = request.reference;
  const record = await sealImage(deps, {
    config: configOfSchema1(
      schema1,
      steps.map((step) => step.diffId),
    ),
    steps,
    name: tag === undefined ? undefined : formatReference({ host, repository: path, tag }),
    source: `${host}/${path}@${schema1.digest}`,
    signal: request.signal,
  });
  return [record, states];
}

async function bringLayers(
  deps: PullDeps,
  repository: RepositoryReader,
  applier: LayerApplier,
  { blobs, request }: { readonly blobs: readonly Descriptor[]; readonly request: PullRequest },
): Promise<{ steps: LayerStep[]; states: PulledLayer[] }> {
  const all = blobs.map((blob) => ({ blob }));
  for (let repaired = false; ; repaired = true) {
    const below = await knownSteps(deps, blobs);
    const missing = all.slice(below.length);
    const states = await blobStates(deps.content, all, missing);
    if (missing.length === 0) return { steps: below, states };
    await requireSpace(deps, missing, states, request);
    const rest = missing.map(({ blob }) => blob);
    try {
      const steps = await keepingReserve(deps, request, (guarded) =>
        whileFetching(deps, repository, { blobs: rest, ...request, signal: guarded }, (arrivals, signal) =>
          unpackUnsealed(deps, arrivals, applier, { below, blobs: rest, signal }),
        ),
      );
      return { steps, states };
    } catch (error) {
      // Blobs of earlier runs are trusted until they make trouble; of this run's, a full disk may have lost bytes.
      const held = states.map(({ digest }) => digest);
      if (repaired) throw await damagedBlobError(error, deps, held);
      if (!(await dropDamagedBlobs(deps, error, held))) throw error;
    }
  }
}
