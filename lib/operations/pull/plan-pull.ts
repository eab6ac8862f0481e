import type { V1Repository } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  formatReference,
  MAX_CONFIG_BYTES,
  MEDIA_TYPE,
  type Platform,
  tagOrDigest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { findV1Layer, v1PartKey } from '../download/index.js';
import {
  blobStates,
  bytesToFetch,
  bytesUnpacked,
  checkPlatform,
  describeImage,
  type ImageQuery,
  knownLayers,
  type LayerPlan,
  missingLayers,
  type PulledLayer,
} from '../layers/index.js';
import {
  byProtocol,
  layersOfSchema1,
  leafOf,
  lookUpV1,
  openRegistrySource,
  readBlob,
  resolveDocument,
} from '../registry/index.js';
import { v1LayersById } from './pull-v1.js';

/** A planned layer; bytes as stored at the registry. For protocol v1, the ID of its image replaces the digest. */
export interface PlannedLayer extends Omit<PulledLayer, 'digest'> {
  readonly digest: Digest | null;
  readonly v1Id?: string;
}

/** The plan of a pull; sizes in bytes, `unpackedBytes` an estimate. */
export interface PullPlan {
  readonly reference: string;
  /** Null for protocol v1, which has no digests. */
  readonly digest: Digest | null;
  /** For protocol v1: the image of the tag. */
  readonly v1Id?: string;
  readonly platform: string;
  readonly layers: readonly PlannedLayer[];
  readonly fetchBytes: number;
  readonly presentBytes: number;
  readonly unpackedBytes: number;
  /** Null without a store. */
  readonly freeBytes: number | null;
}

type PlanDeps = Pick<OperationDeps, 'registry' | 'progress'> &
  Partial<Pick<OperationDeps, 'content' | 'snapshots' | 'metadata'>>;

/** An image compared with the store. */
interface Comparison extends Pick<PullPlan, 'digest' | 'v1Id'> {
  readonly platform: Platform;
  readonly layers: readonly PlannedLayer[];
  /** The layers to unpack. */
  readonly missing: readonly Pick<LayerPlan, 'blob'>[];
}

/**
 * Resolves an image and compares it with the store, in memory only. Without a store, everything counts as missing.
 * `planned`: digests or v1 IDs that earlier plans fetch, which count as present; this plan's are added. Throws the
 * errors of `pullImage` before it fetches.
 */
export async function planPull(deps: PlanDeps, request: ImageQuery, planned = new Set<string>()): Promise<PullPlan> {
  const { reference, signal } = request;
  const { platform, missing, ...found } = await byProtocol(deps.registry, reference, {
    v2: () => compareV2(deps, request),
    v1: (repository) => compareV1(deps, repository, request),
    signal,
  });
  const isPlanned = ({ digest, v1Id = '' }: Pick<PlannedLayer, 'digest' | 'v1Id'>): boolean =>
    planned.has(digest ?? v1Id);
  const layers = found.layers.map((layer) => (isPlanned(layer) ? { ...layer, state: 'present' as const } : layer));
  const unpacked = missing.filter(({ blob }) => !planned.has(blob.digest));
  for (const { digest, v1Id = '', state } of layers) if (state === 'fetched') planned.add(digest ?? v1Id);
  for (const { blob } of missing) planned.add(blob.digest);
  const fetchBytes = bytesToFetch(layers);
  return {
    reference: formatReference(reference),
    ...found,
    platform: formatPlatform(platform),
    layers,
    fetchBytes,
    presentBytes: layers.reduce((sum, { size }) => sum + size, 0) - fetchBytes,
    unpackedBytes: bytesUnpacked(unpacked),
    freeBytes: deps.snapshots === undefined ? null : (await deps.snapshots.space()).dataFree,
  };
}

/** Layers in the store are recognized by the checksums of the registry, as in a pull. */
async function compareV1(deps: PlanDeps, repository: V1Repository, request: ImageQuery): Promise<Comparison> {
  const { content, metadata, progress } = deps;
  const images = await lookUpV1(repository, request.reference, request);
  const { os = 'linux', architecture = 'amd64' } = images.at(-1)!.document;
  const platform = { os, architecture };
  checkPlatform(deps, request, platform);
  const local = metadata === undefined ? new Map<string, Descriptor[]>() : await v1LayersById({ metadata });
  const layers: PlannedLayer[] = [];
  const missing: { readonly blob: Descriptor }[] = [];
  for (const image of images) {
    const { id, layerSize = 0 } = image;
    const finished = await content?.finishedPart(v1PartKey(repository, id));
    const known = local.get(id) ?? [];
    const found = content === undefined ? undefined : await findV1Layer({ content }, image, { known, finished });
    const digest = found?.blob.digest ?? null;
    layers.push({ digest, v1Id: id, size: layerSize, state: found === undefined ? 'fetched' : 'present' });
    const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: `sha256:${id}` as Digest, size: layerSize };
    if (found === undefined) missing.push({ blob });
  }
  const unknown = images.filter(({ layerSize }) => layerSize === undefined).length;
  if (unknown > 0) progress.note(`${repository.host} does not tell the size of ${unknown} of ${images.length} layers`);
  return { digest: null, v1Id: images.at(-1)!.id, platform, layers, missing };
}

async function compareV2(deps: PlanDeps, request: ImageQuery): Promise<Comparison> {
  const { content, snapshots, metadata } = deps;
  const store = snapshots && metadata && { snapshots, metadata };
  const source = await openRegistrySource(deps.registry, request.reference, request);
  const document = await resolveDocument(source, tagOrDigest(request.reference), request);
  const { platform } = request;
  if ('schema1' in document) {
    const { schema1 } = document;
    checkPlatform(deps, request, leafOf(schema1));
    const blobs = await layersOfSchema1({ content }, source, { schema1, signal: request.signal });
    const known = store === undefined ? [] : await knownLayers(store, blobs);
    const all = blobs.map((blob) => ({ blob }));
    const missing = all.slice(known.length);
    return { digest: schema1.digest, platform, layers: await blobStates(content, all, missing), missing };
  }
  const { steps } = await describeImage(deps, document, request, async (config) =>
    content !== undefined && (await content.stat(config.digest)) !== undefined
      ? content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES })
      : readBlob(source.reader.blob(config), { maxBytes: MAX_CONFIG_BYTES, signal: request.signal }),
  );
  const missing = store === undefined ? steps : await missingLayers(store, steps);
  const layers = await blobStates(content, steps, missing);
  return { digest: document.raw.descriptor.digest, platform, layers, missing };
}
