import type { LayerApplier } from '../../layer/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import { MAX_CONFIG_BYTES, formatPlatform, type Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { damagedBlobError, dropDamagedBlobs, startArrivals, whileFetching } from '../download/index.js';
import {
  blobStates,
  describeImage,
  type FoundAtRegistry,
  type ImageQuery,
  keepingReserve,
  type MadeLayers,
  missingSteps,
  type PulledLayer,
  requireSpace,
  unpackLayers,
} from '../layers/index.js';
import type { ResolvedImage } from '../registry/index.js';
import type { NewImage } from '../store/index.js';

/** Which image to bring in, and how. */
export interface BringInRequest extends ImageQuery {
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
  /** Told of what is fetched and unpacked. */
  readonly made?: MadeLayers | undefined;
}

/** What bringing an image in needs. */
export type BringInDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/** An image that is in the store but for its record. */
export interface BroughtImage {
  readonly image: NewImage;
  readonly layers: PulledLayer[];
}

/**
 * Brings an image into the store, all but its record: blobs fetched in parallel, layers unpacked oldest first while they
 * arrive, manifest and index stored. Call with the store locked and swept. Idempotent: running again resumes. Throws what
 * the repository, the store and the layers throw; AbortError.
 */
export async function bringInImage(
  deps: BringInDeps,
  repository: RepositoryReader,
  applier: LayerApplier,
  { resolved, request }: { readonly resolved: ResolvedImage; readonly request: BringInRequest },
): Promise<BroughtImage> {
  const found = await describeImage(resolved, request, {
    readConfig: (config) => fetchConfig(deps, repository, config, request.signal),
    onNote: (line) => deps.progress.note(line),
  });
  for (let repaired = false; ; repaired = true) {
    const missing = await missingSteps(deps, found.steps);
    request.made?.add(missing);
    const states = await blobStates(deps.content, found.steps, missing);
    await requireSpace(deps, missing, states, request);
    try {
      const blobs = missing.map((step) => step.blob);
      if (missing.length > 0)
        await keepingReserve(deps, request, (guarded) =>
          whileFetching(deps, repository, { blobs, ...request, signal: guarded }, (arrivals, signal) =>
            unpackLayers(deps, arrivals, applier, { steps: missing, signal }),
          ),
        );
    } catch (error) {
      // Blobs of earlier runs are trusted until they make trouble; of this run's, a full disk may have lost bytes.
      const held = states.map(({ digest }) => digest);
      if (repaired) throw await damagedBlobError(error, deps, held);
      if (!(await dropDamagedBlobs(deps, error, held))) throw error;
      continue;
    }
    request.signal.throwIfAborted();
    return { image: await storeManifests(deps, found), layers: states };
  }
}

/** Fetches the config into the store and reads it. */
async function fetchConfig(
  deps: BringInDeps,
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

/** Puts manifest and index beside the blobs. Resolves with what is to be recorded. */
async function storeManifests(
  { content }: Pick<BringInDeps, 'content'>,
  { resolved, config, steps }: FoundAtRegistry,
): Promise<NewImage> {
  const { raw, index, manifest } = resolved;
  await content.put(raw.bytes, raw.descriptor.digest);
  if (index !== undefined) await content.put(index.bytes, index.descriptor.digest);
  const platform = { os: config.os, architecture: config.architecture };
  return {
    id: manifest.config.digest,
    manifest: raw.descriptor,
    config: manifest.config,
    ...(index === undefined ? {} : { index: index.descriptor }),
    layers: steps.map((step) => step.blob),
    diffIds: steps.map((step) => step.diffId),
    chainIds: steps.map((step) => step.chainId),
    ...(typeof config.created === 'string' ? { created: config.created } : {}),
    platform: formatPlatform(config.variant === undefined ? platform : { ...platform, variant: config.variant }),
  };
}
