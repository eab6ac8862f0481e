import { RegistryError, TransportError } from '../../errors.js';
import type { LayerApplier } from '../../layer/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { V1RemoteImage, V1Repository } from '../../registry/index.js';
import {
  annotateV1,
  checkV1Chain,
  configOfV1,
  formatReference,
  MEDIA_TYPE,
  v1ImageOf,
  type Descriptor,
  type Digest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { bringV1Layer, forgetParts, type V1Layer, whileSealing } from '../download/index.js';
import {
  blobsOfStore,
  checkPlatform,
  keepingReserve,
  knownSteps,
  type LayerStep,
  type PulledLayer,
  requireSpace,
  sealImage,
  unpackUnsealed,
} from '../layers/index.js';
import { tagForV1 } from '../registry/index.js';
import type { PullDeps, PullRequest } from './pull-request.js';

/** What a pull by protocol v1 works with. */
export interface PullV1 {
  readonly request: PullRequest;
  /** The image that has the name now: nothing is to be done when the tag still leads to it. */
  readonly named: ImageRecord | undefined;
  /** Blobs that were fetched stand here until the image is recorded: for the caller to drop those that nothing came of. */
  readonly fetched: Digest[];
}

/**
 * Brings an image of registry protocol v1 into the store: the JSONs and layers of all its ancestors are asked for at once, the
 * layers unpacked root first as they come, and then it gets a config and a manifest. The JSONs are kept in the manifest.
 * Throws as `pullImage`; UsageError for a digest, which v1 does not know.
 */
export async function pullV1(
  deps: PullDeps,
  repository: V1Repository,
  { request, named, fetched }: PullV1,
): Promise<[record: ImageRecord, layers: PulledLayer[]]> {
  const { reference, signal } = request;
  const tag = tagForV1(reference);
  const id = await repository.resolve(tag, { signal });
  const top = named?.layers.at(-1);
  if (named !== undefined && top !== undefined && v1ImageOf(top)?.image.id === id) {
    // Whoever pulled it may have been killed before it tidied up.
    const known = named.layers.flatMap((layer) => v1ImageOf(layer)?.image.id ?? []);
    await forgetParts(deps, repository, known);
    return [named, named.layers.map(({ digest, size }) => ({ digest, size, state: 'present' }))];
  }
  // Its threads take a while to start: let them while the registry is asked.
  const applier = await deps.createApplier();
  try {
    const ids = await repository.ancestry(id, { signal });
    const { images, steps, layers } = await keepingReserve(deps, request, (guarded) =>
      whileSealing(deps, () =>
        bringLayers(deps, repository, applier, { ids, fetched, request: { ...request, signal: guarded } }),
      ),
    ).catch(async (error: unknown) => {
      // What another try can go on with stays, the layers that are whole too.
      if (isWorthResuming(error, signal)) fetched.length = 0;
      else await forgetParts(deps, repository, ids);
      throw error;
    });
    const record = await sealImage(deps, {
      config: configOfV1(
        images,
        steps.map((step) => step.diffId),
      ),
      steps,
      annotations: images.map((image, index) => annotateV1(image, layers[index]!.payload)),
      name: formatReference({ host: reference.host, repository: reference.repository, tag }),
      signal,
    });
    fetched.length = 0;
    await forgetParts(deps, repository, ids);
    return [record, layers.map(({ blob: { digest, size }, state }) => ({ digest, size, state }))];
  } finally {
    await applier.close();
  }
}

/** Whether trying later may help: the network failed, or the user interrupted it. */
function isWorthResuming(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted || error instanceof TransportError || (error instanceof RegistryError && error.status >= 500);
}

async function bringLayers(
  deps: PullDeps,
  repository: V1Repository,
  applier: LayerApplier,
  {
    ids,
    request,
    fetched,
  }: { readonly ids: readonly string[]; readonly request: PullRequest; readonly fetched: Digest[] },
): Promise<{ images: V1RemoteImage[]; steps: LayerStep[]; layers: V1Layer[] }> {
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  const local = await v1LayersById(deps);
  const coming = ids.map((id) => watched(repository.image(id, { signal })));
  const layers = ids.map((id, position) => {
    const known = local.get(id) ?? [];
    return watched(bringV1Layer(deps, repository, { id, position, image: coming[position]!, known, fetched, signal }));
  });
  const arrivals = blobsOfStore(deps.content);
  try {
    const images = await Promise.all(coming);
    checkV1Chain(images);
    await checkImages(deps, images, request);
    const below = await knownBelow(deps, ids, { local, layers });
    const blobs = async function* (): AsyncGenerator<Descriptor> {
      for (const layer of layers.slice(below.length)) yield (await layer).blob;
    };
    const steps = await unpackUnsealed(deps, arrivals, applier, { below, blobs: blobs(), signal });
    return { images, steps, layers: await Promise.all(layers) };
  } catch (error) {
    failure.abort(error);
    throw error;
  } finally {
    await Promise.allSettled([...coming, ...layers]);
    await arrivals.close();
  }
}

/** The same promise; that nobody has waited for it when it failed is no crash. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Throws NotFoundError for another platform than the one asked for, DiskSpaceError. */
async function checkImages(deps: PullDeps, images: readonly V1RemoteImage[], request: PullRequest): Promise<void> {
  const { os = 'linux', architecture = 'amd64' } = images.at(-1)!.document;
  checkPlatform(request, { os, architecture }, (line) => deps.progress.note(line));
  const states = images.map(({ layerSize: size = 0, id }): PulledLayer => ({
    digest: `sha256:${id}` as Digest,
    size,
    state: 'fetched',
  }));
  const steps = states.map(({ digest, size }) => ({ blob: { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size } }));
  await requireSpace(deps, steps, states, request);
}

/** Layers of the store's images that were v1 images, by ID: a hint where to look, no more. */
export async function v1LayersById({ metadata }: Pick<OperationDeps, 'metadata'>): Promise<Map<string, Descriptor[]>> {
  const found = new Map<string, Descriptor[]>();
  for (const layer of (await metadata.images.list()).flatMap((record) => record.layers)) {
    const id = v1ImageOf(layer)?.image.id;
    if (id !== undefined) found.set(id, [...(found.get(id) ?? []), layer]);
  }
  return found;
}

/** The layers at the bottom that are unpacked already: nothing of them need be fetched for that. */
async function knownBelow(
  deps: PullDeps,
  ids: readonly string[],
  { local, layers }: { readonly local: ReadonlyMap<string, unknown>; readonly layers: readonly Promise<V1Layer>[] },
): Promise<LayerStep[]> {
  const blobs: Descriptor[] = [];
  for (const [index, id] of ids.entries()) {
    if (!local.has(id)) break;
    const { blob, state } = await layers[index]!;
    if (state !== 'present') break;
    blobs.push(blob);
  }
  return knownSteps(deps, blobs);
}
