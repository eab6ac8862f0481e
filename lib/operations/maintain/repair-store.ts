import { ImgtoolError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { digestHex, type ChainId, type Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { BlobPlaces, fetchFromPlaces, fromFirstPlace, parseSource } from '../download/index.js';
import { type RestoreDeps, restoreLayers } from '../layers/index.js';
import { hasLayer, madeFrom, type StoreRecords } from '../store/index.js';

export type RepairDeps = RestoreDeps & Pick<OperationDeps, 'registry'>;

interface RepairRequest {
  readonly signal: AbortSignal;
}

/** A damaged item: digest of a blob, chain ID of a layer, ID of an image. */
interface Bad {
  readonly kind: 'blob' | 'layer' | 'image';
  readonly subject: string;
}

/**
 * Removes damaged layers with all layers above them, and restores what images need; damaged blobs have been removed already.
 * Failures are noted per image. Call with the store locked exclusively.
 */
export async function repairStore(
  deps: RepairDeps,
  request: RepairRequest,
  found: { readonly records: StoreRecords; readonly problems: readonly Bad[] },
): Promise<void> {
  const { records, problems } = found;
  const bad = problems.flatMap(({ kind, subject }) => (kind === 'layer' ? [subject as ChainId] : []));
  for (const chainId of new Set([...bad, ...madeFrom(records.layers, bad)])) {
    await deps.metadata.layers.delete(digestHex(chainId));
    await deps.snapshots.removeLayer(chainId);
  }
  const places = new BlobPlaces(records.images);
  const badBlobs = new Set(problems.flatMap(({ kind, subject }) => (kind === 'blob' ? [subject] : [])));
  for (const image of records.images) {
    request.signal.throwIfAborted();
    try {
      await restoreImage(deps, image, { places, badBlobs, request });
    } catch (error) {
      request.signal.throwIfAborted();
      if (!(error instanceof ImgtoolError)) throw error;
      deps.progress.note(`image ${image.names[0] ?? image.id}: ${error.message}`);
    }
  }
}

/** Reports whether an image or a container needs a blob, a layer or an image. */
export function isNeeded(records: StoreRecords, subject: string): boolean {
  return neededBy(records, subject) !== undefined || records.containers.some(({ base }) => base === subject);
}

/** How to restore a missing item. */
export function repairHint(records: StoreRecords, subject: string): string {
  const image = neededBy(records, subject);
  if (image === undefined) return 'remove the container that was made from it: imgtool rm';
  const name = image.names[0];
  const again = name ?? image.sources[0];
  if (image.sources.length > 0) return `imgtool pull ${again}`;
  return `load or import the image again, or remove it: imgtool rmi ${name ?? image.id}`;
}

/** The image that needs an item, preferably one that can be pulled. */
function neededBy({ images }: StoreRecords, subject: string): ImageRecord | undefined {
  const needing = images.filter(({ id, manifest, config, index, layers, chainIds }) =>
    [id, manifest.digest, config.digest, index?.digest, ...layers.map(({ digest }) => digest), ...chainIds].some(
      (one) => one === subject,
    ),
  );
  return needing.find(({ sources }) => sources.length > 0) ?? needing[0];
}

async function restoreImage(
  deps: RepairDeps,
  image: ImageRecord,
  {
    places,
    badBlobs,
    request,
  }: { readonly places: BlobPlaces; readonly badBlobs: ReadonlySet<string>; readonly request: RepairRequest },
): Promise<void> {
  const { content } = deps;
  const { signal } = request;
  const fetch = async (blob: Descriptor): Promise<void> => {
    if ((await content.stat(blob.digest)) === undefined) await fetchFromPlaces(deps, blob, { places, signal });
  };
  await fetch(image.config);
  for (const document of [image.manifest, image.index])
    if (document !== undefined && (await content.stat(document.digest)) === undefined)
      await fetchDocument(deps, image, { document, signal });
  for (const [position, blob] of image.layers.entries())
    if (badBlobs.has(blob.digest) || !(await hasLayer(deps, image.chainIds[position]!))) await fetch(blob);
  await restoreLayers(deps, image, request);
}

async function fetchDocument(
  deps: RepairDeps,
  { sources }: ImageRecord,
  { document: { digest }, signal }: { readonly document: Descriptor; readonly signal: AbortSignal },
): Promise<void> {
  await fromFirstPlace(
    sources.flatMap((source) => parseSource(source) ?? []),
    async (place) => {
      const repository = await deps.registry.open(place, { signal });
      const { bytes } = await repository.manifest({ digest }, { signal });
      await deps.content.put(bytes, digest);
    },
  );
}
