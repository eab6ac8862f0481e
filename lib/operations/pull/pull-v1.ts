import { RegistryError, TransportError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { V1RemoteImage, V1Repository } from '../../registry/index.js';
import {
  annotateV1,
  checkV1Chain,
  configOfV1,
  MEDIA_TYPE,
  v1ImageOf,
  type Descriptor,
  type Digest,
} from '../../spec/index.js';
import type { StoreDestination } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore, fetchV1Layer, forgetParts, type V1Layer, whileSyncing } from '../download/index.js';
import {
  checkPlatform,
  keepingReserve,
  knownLayers,
  type LayerPlan,
  presentLayers,
  type PulledLayer,
  requireSpace,
  unpackUndeclared,
  writeImage,
} from '../layers/index.js';
import { tagForV1 } from '../registry/index.js';
import { tagName } from './local-image.js';
import type { PullDeps, PullRequest } from './pull-request.js';

/**
 * Pulls an image by registry protocol v1. Requests the JSON documents and layers of all its ancestors at once, unpacks
 * layers root first as they arrive, and then writes a config and a manifest, which keeps the JSON documents. `local`:
 * the image that has the name now; if the tag still refers to it, nothing is fetched. Throws the errors of `pullImage`;
 * UsageError for a digest, which v1 lacks.
 */
export async function pullV1(
  store: StoreDestination,
  deps: PullDeps,
  repository: V1Repository,
  { request, local }: { readonly request: PullRequest; readonly local: ImageRecord | undefined },
): Promise<readonly [record: ImageRecord, layers: readonly PulledLayer[]]> {
  const { reference, signal } = request;
  const id = await repository.resolve(tagForV1(reference), { signal });
  const top = local?.layers.at(-1);
  if (local !== undefined && top !== undefined && v1ImageOf(top)?.image.id === id) {
    // The earlier pull may have been killed before its cleanup.
    const known = local.layers.flatMap((layer) => v1ImageOf(layer)?.image.id ?? []);
    await forgetParts(deps, repository, known);
    return [local, presentLayers(local)];
  }
  await store.begin();
  const ids = await repository.ancestry(id, { signal });
  const { images, steps, layers } = await keepingReserve(deps, request, (guarded) =>
    whileSyncing(deps, () => fetchLayers(store, deps, repository, { ids, request: { ...request, signal: guarded } })),
  ).catch(async (error: unknown) => {
    // Keeps what a retry can resume, complete layers too.
    if (isWorthResuming(error, signal)) store.blobs.keep();
    else await forgetParts(deps, repository, ids);
    throw error;
  });
  const diffIds = steps.map(({ diffId }) => diffId);
  const annotations = images.map((image, index) => annotateV1(image, layers[index]!.payload));
  const image = await writeImage(deps, { config: configOfV1(images, diffIds), steps, annotations });
  const record = await store.record(image, { name: tagName(reference) });
  store.blobs.keep();
  await forgetParts(deps, repository, ids);
  return [record, layers.map(({ blob: { digest, size }, state }) => ({ digest, size, state }))];
}

/** Reports whether a retry may help: the network failed, or the user interrupted it. */
function isWorthResuming(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted || error instanceof TransportError || (error instanceof RegistryError && error.status >= 500);
}

async function fetchLayers(
  { applier, blobs: newBlobs }: StoreDestination,
  deps: PullDeps,
  repository: V1Repository,
  { ids, request }: { readonly ids: readonly string[]; readonly request: PullRequest },
): Promise<{ images: V1RemoteImage[]; steps: LayerPlan[]; layers: V1Layer[] }> {
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  const local = await v1LayersById(deps);
  const coming = ids.map((id) => watched(repository.image(id, { signal })));
  const layers = ids.map((id, position) => {
    const job = { id, position, image: coming[position]!, known: local.get(id) ?? [], blobs: newBlobs, signal };
    return watched(fetchV1Layer(deps, repository, job));
  });
  const downloads = blobsInStore(deps.content);
  try {
    const images = await Promise.all(coming);
    checkV1Chain(images);
    await checkImages(deps, images, request);
    const below = await knownBelow(deps, ids, { local, layers });
    const blobs = async function* (): AsyncGenerator<Descriptor> {
      for (const layer of layers.slice(below.length)) yield (await layer).blob;
    };
    const steps = await unpackUndeclared(deps, downloads, applier, { below, blobs: blobs(), signal });
    return { images, steps, layers: await Promise.all(layers) };
  } catch (error) {
    failure.abort(error);
    throw error;
  } finally {
    await Promise.allSettled([...coming, ...layers]);
    await downloads.close();
  }
}

/** Returns the promise; avoids an unhandled rejection if it fails before it is awaited. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Throws NotFoundError for a platform other than the requested one, DiskSpaceError. */
async function checkImages(deps: PullDeps, images: readonly V1RemoteImage[], request: PullRequest): Promise<void> {
  const { os = 'linux', architecture = 'amd64' } = images.at(-1)!.document;
  checkPlatform(deps, request, { os, architecture });
  const states = images.map(({ layerSize: size = 0, id }): PulledLayer => ({
    digest: `sha256:${id}` as Digest,
    size,
    state: 'fetched',
  }));
  const steps = states.map(({ digest, size }) => ({ blob: { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size } }));
  await requireSpace(deps, steps, states, request);
}

/** Layers of stored images that were v1 images, by ID; only a hint where to look. */
export async function v1LayersById({ metadata }: Pick<OperationDeps, 'metadata'>): Promise<Map<string, Descriptor[]>> {
  const found = new Map<string, Descriptor[]>();
  for (const layer of (await metadata.images.list()).flatMap((record) => record.layers)) {
    const id = v1ImageOf(layer)?.image.id;
    if (id !== undefined) found.set(id, [...(found.get(id) ?? []), layer]);
  }
  return found;
}

/** The lowest layers that are already unpacked and need not be fetched for unpacking. */
async function knownBelow(
  deps: PullDeps,
  ids: readonly string[],
  { local, layers }: { readonly local: ReadonlyMap<string, unknown>; readonly layers: readonly Promise<V1Layer>[] },
): Promise<LayerPlan[]> {
  const blobs: Descriptor[] = [];
  for (const [index, id] of ids.entries()) {
    if (!local.has(id)) break;
    const { blob, state } = await layers[index]!;
    if (state !== 'present') break;
    blobs.push(blob);
  }
  return knownLayers(deps, blobs);
}
