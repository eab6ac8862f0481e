import type { RepositoryReader, V1Repository } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  formatReference,
  MAX_CONFIG_BYTES,
  MEDIA_TYPE,
  type Schema1Manifest,
  tagOrDigest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { v1LayerHere, v1PartKey } from '../download/index.js';
import {
  blobStates,
  bytesToFetch,
  bytesUnpacked,
  checkPlatform,
  describeImage,
  type ImageQuery,
  knownSteps,
  type LayerStep,
  missingSteps,
  type PulledLayer,
} from '../layers/index.js';
import { layersOfSchema1, leafOf, lookUpV1, readBlob, type ResolvedImage, resolveDocument } from '../registry/index.js';
import { v1LayersById } from './pull-v1.js';

/** A layer of a plan: bytes as stored at the registry. By protocol v1 it has no digest, but the ID of its image. */
export interface PlannedLayer extends Omit<PulledLayer, 'digest'> {
  readonly digest: Digest | null;
  readonly v1Id?: string;
}

/** What a pull would do; all sizes in bytes, `unpackedBytes` an estimate. */
export interface PullPlan {
  readonly reference: string;
  /** Null by protocol v1, which has no digests. */
  readonly digest: Digest | null;
  /** By protocol v1: the image that the tag leads to. */
  readonly v1Id?: string;
  readonly platform: string;
  readonly layers: readonly PlannedLayer[];
  readonly fetchBytes: number;
  readonly presentBytes: number;
  readonly unpackedBytes: number;
  /** Null when there is no store yet. */
  readonly freeBytes: number | null;
}

type PlanDeps = Pick<OperationDeps, 'registry' | 'progress'> &
  Partial<Pick<OperationDeps, 'content' | 'snapshots' | 'metadata'>>;

/**
 * Resolves an image and compares it with the store; changes nothing, in memory only. Without a store all is to be fetched.
 * Throws as `pullImage` does before it fetches.
 */
export async function planPull(deps: PlanDeps, request: ImageQuery): Promise<PullPlan> {
  const { reference, signal } = request;
  let v1 = await deps.registry.openV1(reference, request);
  if (v1 === undefined) {
    try {
      return await planByV2(deps, request);
    } catch (error) {
      v1 = await deps.registry.openV1(reference, { signal, after: error });
      if (v1 === undefined) throw error;
    }
  }
  return planByV1(deps, v1, request);
}

/** Layers that are here are told from others by the checksums of the registry, as a pull does it. */
async function planByV1(deps: PlanDeps, repository: V1Repository, request: ImageQuery): Promise<PullPlan> {
  const { content, metadata, snapshots, progress } = deps;
  const images = await lookUpV1(repository, request.reference, request);
  const { os = 'linux', architecture = 'amd64' } = images.at(-1)!.document;
  const platform = { os, architecture };
  checkPlatform(request, platform, (line) => progress.note(line));
  const local = metadata === undefined ? new Map<string, Descriptor[]>() : await v1LayersById({ metadata });
  const layers: PlannedLayer[] = [];
  const missing: { readonly blob: Descriptor }[] = [];
  for (const image of images) {
    const { id, layerSize = 0 } = image;
    const finished = await content?.finishedPart(v1PartKey(repository, id));
    const known = local.get(id) ?? [];
    const here = content === undefined ? undefined : await v1LayerHere({ content }, image, { known, finished });
    const digest = here?.blob.digest ?? null;
    layers.push({ digest, v1Id: id, size: layerSize, state: here === undefined ? 'fetched' : 'present' });
    const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: `sha256:${id}` as Digest, size: layerSize };
    if (here === undefined) missing.push({ blob });
  }
  const untold = images.filter(({ layerSize }) => layerSize === undefined).length;
  if (untold > 0) progress.note(`${repository.host} does not tell the size of ${untold} of ${images.length} layers`);
  const fetchBytes = bytesToFetch(layers);
  return {
    reference: formatReference(request.reference),
    digest: null,
    v1Id: images.at(-1)!.id,
    platform: formatPlatform(platform),
    layers,
    fetchBytes,
    presentBytes: layers.reduce((sum, { size }) => sum + size, 0) - fetchBytes,
    unpackedBytes: bytesUnpacked(missing),
    freeBytes: snapshots === undefined ? null : (await snapshots.space()).dataFree,
  };
}

async function planByV2(deps: PlanDeps, request: ImageQuery): Promise<PullPlan> {
  const { content, snapshots } = deps;
  const repository = await deps.registry.open(request.reference, request);
  const resolved = await resolveDocument(repository, tagOrDigest(request.reference), request);
  const { digest, all, missing } =
    'schema1' in resolved
      ? await compareSchema1(deps, repository, { schema1: resolved.schema1, request })
      : await compare(deps, repository, { resolved, request });
  const layers = await blobStates(content, all, missing);
  const fetchBytes = bytesToFetch(layers);
  return {
    reference: formatReference(request.reference),
    digest,
    platform: formatPlatform(request.platform),
    layers,
    fetchBytes,
    presentBytes: layers.reduce((sum, { size }) => sum + size, 0) - fetchBytes,
    unpackedBytes: bytesUnpacked(missing),
    freeBytes: snapshots === undefined ? null : (await snapshots.space()).dataFree,
  };
}

type Layer = Pick<LayerStep, 'blob'>;

interface Comparison {
  readonly digest: Digest;
  readonly all: readonly Layer[];
  readonly missing: readonly Layer[];
}

async function compare(
  { content, snapshots, metadata, progress }: PlanDeps,
  repository: RepositoryReader,
  { resolved, request }: { readonly resolved: ResolvedImage; readonly request: ImageQuery },
): Promise<Comparison> {
  const { steps } = await describeImage(resolved, request, {
    readConfig: async (config) =>
      content !== undefined && (await content.stat(config.digest)) !== undefined
        ? content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES })
        : readBlob(repository.blob(config), { maxBytes: MAX_CONFIG_BYTES, signal: request.signal }),
    onNote: (line) => progress.note(line),
  });
  const missing = snapshots && metadata ? await missingSteps({ snapshots, metadata }, steps) : [...steps];
  return { digest: resolved.raw.descriptor.digest, all: steps, missing };
}

async function compareSchema1(
  { content, snapshots, metadata, progress }: PlanDeps,
  repository: RepositoryReader,
  { schema1, request }: { readonly schema1: Schema1Manifest; readonly request: ImageQuery },
): Promise<Comparison> {
  checkPlatform(request, leafOf(schema1), (line) => progress.note(line));
  const store = content === undefined ? {} : { content };
  const blobs = await layersOfSchema1(store, repository, { schema1, signal: request.signal });
  const known = snapshots && metadata ? await knownSteps({ snapshots, metadata }, blobs) : [];
  const all = blobs.map((blob) => ({ blob }));
  return { digest: schema1.digest, all, missing: all.slice(known.length) };
}
