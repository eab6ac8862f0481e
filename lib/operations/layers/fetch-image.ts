import type { LayerApplier } from '../../layer/index.js';
import { type BlobReader, type Descriptor, type Digest, MAX_CONFIG_BYTES } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import {
  type BlobDownloads,
  damagedBlobError,
  dropDamagedBlobs,
  fetchBlobs,
  whileFetching,
} from '../download/index.js';
import {
  configOfSchema1,
  layersOfSchema1,
  leafOf,
  type ResolvedImage,
  type ResolvedSchema1,
} from '../registry/index.js';
import type { NewImage } from '../store/index.js';
import { keepingReserve, requireSpace } from './keep-reserve.js';
import {
  blobStates,
  checkPlatform,
  describeImage,
  type FoundAtRegistry,
  missingLayers,
  type PlatformQuery,
  type PulledLayer,
} from './look-up-image.js';
import type { MadeLayers } from './made-layers.js';
import { knownLayers, unpackUndeclared } from './undeclared-layers.js';
import { type LayerPlan, unpackLayers } from './unpack-layers.js';
import { imageOf, writeImage } from './write-image.js';

export type FetchImageDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

export interface FetchImageOptions extends PlatformQuery {
  /** Bytes to keep free on the store's file system. */
  readonly reserveBytes: number;
  readonly applier: LayerApplier;
  /** Receives the layers that are fetched and unpacked. */
  readonly made: MadeLayers;
  readonly signal: AbortSignal;
}

/** An image in the store without its record. */
export interface FetchedImage {
  readonly image: NewImage;
  /** Digest of the source's manifest. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
}

/**
 * Fetches everything of an image except its record: downloads blobs concurrently, unpacks layers oldest first while
 * they arrive, then stores manifest and index. Creates config and manifest for an image of schema 1. Requires the
 * store's lock and a swept store. Idempotent: running it again resumes. Throws the errors of the source, the store and
 * the layers; AbortError.
 */
export async function fetchImage(
  deps: FetchImageDeps,
  source: BlobReader,
  document: ResolvedImage | ResolvedSchema1,
  options: FetchImageOptions,
): Promise<FetchedImage> {
  if ('schema1' in document) return fetchSchema1(deps, source, document, options);
  const readConfig = (config: Descriptor) => fetchConfig(deps, source, config, options.signal);
  const found = await describeImage(deps, document, options, readConfig);
  const { applier, made, signal } = options;
  const layers = await fetchLayers(deps, source, options, {
    all: found.steps,
    findMissing: async () => {
      const missing = await missingLayers(deps, found.steps);
      made.add(missing);
      return missing;
    },
    unpack: (downloads, steps, guarded) => unpackLayers(deps, downloads, applier, { steps, signal: guarded }),
  });
  signal.throwIfAborted();
  return { image: await storeManifests(deps, found), digest: document.raw.descriptor.digest, layers };
}

/** Schema 1 declares no diffIDs, so unpacking determines them. */
async function fetchSchema1(
  deps: FetchImageDeps,
  source: BlobReader,
  { schema1 }: ResolvedSchema1,
  options: FetchImageOptions,
): Promise<FetchedImage> {
  const { applier, signal } = options;
  checkPlatform(deps, options, leafOf(schema1));
  const blobs = await layersOfSchema1(deps, source, { schema1, signal });
  let steps: LayerPlan[] = [];
  const all = blobs.map((blob) => ({ blob }));
  const layers = await fetchLayers(deps, source, options, {
    all,
    findMissing: async () => {
      steps = await knownLayers(deps, blobs);
      return all.slice(steps.length);
    },
    unpack: async (downloads, missing, guarded) => {
      const rest = missing.map(({ blob }) => blob);
      steps = await unpackUndeclared(deps, downloads, applier, { below: steps, blobs: rest, signal: guarded });
    },
  });
  const diffIds = steps.map(({ diffId }) => diffId);
  const image = await writeImage(deps, { config: configOfSchema1(schema1, diffIds), steps });
  return { image, digest: schema1.digest, layers };
}

/** The layers of an image, and how to unpack the missing ones. */
interface LayerJob<Layer extends Pick<LayerPlan, 'blob'>> {
  readonly all: readonly Layer[];
  /** Those of `all` to unpack. Called again after damaged blobs were dropped. */
  readonly findMissing: () => Promise<readonly Layer[]>;
  readonly unpack: (downloads: BlobDownloads, missing: readonly Layer[], signal: AbortSignal) => Promise<void>;
}

/** Fetches and unpacks the missing layers of an image. Starts over once if blobs of earlier runs are damaged. */
async function fetchLayers<Layer extends Pick<LayerPlan, 'blob'>>(
  deps: FetchImageDeps,
  source: BlobReader,
  options: FetchImageOptions,
  { all, findMissing, unpack }: LayerJob<Layer>,
): Promise<PulledLayer[]> {
  for (let repaired = false; ; repaired = true) {
    const missing = await findMissing();
    const states = await blobStates(deps.content, all, missing);
    if (missing.length === 0) return states;
    await requireSpace(deps, missing, states, options);
    const blobs = missing.map(({ blob }) => blob);
    try {
      await keepingReserve(deps, options, (guarded) =>
        whileFetching(deps, source, { blobs, signal: guarded }, (downloads, signal) =>
          unpack(downloads, missing, signal),
        ),
      );
      return states;
    } catch (error) {
      // Blobs of earlier runs are trusted until an error occurs. A full disk may have damaged those of this run.
      const held = states.map(({ digest }) => digest);
      if (repaired) throw await damagedBlobError(error, deps, held);
      if (!(await dropDamagedBlobs(deps, error, held))) throw error;
    }
  }
}

/** Fetches the config into the store and reads it. */
async function fetchConfig(
  deps: FetchImageDeps,
  source: BlobReader,
  config: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  for (let repaired = false; ; repaired = true) {
    await fetchBlobs(deps, source, { blobs: [config], signal });
    try {
      return await deps.content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES });
    } catch (error) {
      if (repaired || !(await dropDamagedBlobs(deps, error, [config.digest]))) throw error;
    }
  }
}

/** Stores manifest and index. Resolves with the image to record. */
async function storeManifests(
  { content }: Pick<FetchImageDeps, 'content'>,
  { resolved, config, steps }: FoundAtRegistry,
): Promise<NewImage> {
  const { raw, index, manifest } = resolved;
  await content.put(raw.bytes, raw.descriptor.digest);
  if (index !== undefined) await content.put(index.bytes, index.descriptor.digest);
  const documents = { manifest: raw.descriptor, config: manifest.config };
  const from = index === undefined ? {} : { index: index.descriptor };
  return { id: manifest.config.digest, ...documents, ...from, ...imageOf(config, steps) };
}
