import { StoreError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore, deleteDamagedBlobs } from '../download/index.js';
import { missingLayers } from './look-up-image.js';
import { type LayerPlan, unpackLayers } from './unpack-layers.js';

export type RestoreDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'>;

/**
 * Restores the layers of a stored image that a power cut has destroyed by unpacking their blobs, without a registry.
 * Requires the store's lock. Throws StoreError when a blob is missing or damaged (it is then removed), and the errors
 * of unpacking.
 */
export async function restoreLayers(
  deps: RestoreDeps,
  image: ImageRecord,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const steps = image.layers.map((blob, i): LayerPlan => ({
    blob,
    diffId: image.diffIds[i]!,
    chainId: image.chainIds[i]!,
    parent: image.chainIds[i - 1],
  }));
  const missing = await missingLayers(deps, steps);
  if (missing.length === 0) return;
  for (const { blob, chainId } of missing) {
    if ((await deps.content.stat(blob.digest)) !== undefined) continue;
    throw new StoreError(`layer ${chainId} of the image is missing in the store, and so is its blob`, {
      path: deps.snapshots.layerPath(chainId),
      hint: 'pull or load the image again',
    });
  }
  const applier = await deps.createApplier();
  const downloads = blobsInStore(deps.content);
  const unpack = (): Promise<unknown> => unpackLayers(deps, downloads, applier, { steps: missing, signal });
  try {
    await thenCloseAll(unpack, [() => downloads.close(), () => applier.close()]);
  } catch (error) {
    const [damaged] = await deleteDamagedBlobs(
      deps,
      error,
      missing.map(({ blob }) => blob.digest),
    );
    if (damaged === undefined) throw error;
    throw new StoreError(`blob ${damaged} in the store was damaged, so a layer of the image cannot be unpacked`, {
      path: deps.content.path(damaged),
      cause: error,
      hint: 'pull or load the image again: the damaged blob has been removed',
    });
  }
}
