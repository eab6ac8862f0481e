import { closeSync, openSync } from 'node:fs';
import { StoreError } from '../errors.js';
import type { LayerApplier } from '../layer/index.js';
import type { ImageRecord } from '../metadata/index.js';
import { GrowingFile } from '../util/index.js';
import type { BlobArrivals } from './blob-arrivals.js';
import type { OperationDeps } from './deps.js';
import { missingSteps } from './look-up-image.js';
import { unpackLayers, type LayerStep } from './unpack-layers.js';

/** What restoring needs; the unpacking threads may be loaded only when there is something to unpack. */
export type RestoreDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'> & {
  readonly createApplier: () => LayerApplier | Promise<LayerApplier>;
};

/**
 * Unpacks the layers that an image of the store has lost to a power cut, from their blobs and without a registry. Call with
 * the store locked. Throws StoreError when a blob is missing too, and what unpacking throws.
 */
export async function restoreLayers(
  deps: RestoreDeps,
  image: ImageRecord,
  { bootId, signal }: { readonly bootId: string; readonly signal: AbortSignal },
): Promise<void> {
  const steps = image.layers.map((blob, i): LayerStep => ({
    blob,
    diffId: image.diffIds[i]!,
    chainId: image.chainIds[i]!,
    parent: image.chainIds[i - 1],
  }));
  const missing = await missingSteps((layer) => deps.snapshots.has(layer), steps);
  if (missing.length === 0) return;
  for (const { blob, chainId } of missing) {
    if ((await deps.content.stat(blob.digest)) !== undefined) continue;
    throw new StoreError(`layer ${chainId} of the image is missing in the store, and so is its blob`, {
      path: deps.snapshots.layerPath(chainId),
      hint: 'pull the image again',
    });
  }
  const applier = await deps.createApplier();
  const arrivals = blobsOfStore(deps.content, missing);
  try {
    await unpackLayers(deps, arrivals, applier, { steps: missing, bootId, signal });
  } finally {
    await arrivals.close();
    await applier.close();
  }
}

/** Blobs that are here count as arrived; to be closed. */
export function blobsOfStore(
  content: OperationDeps['content'],
  steps: readonly Pick<LayerStep, 'blob'>[],
): BlobArrivals {
  const sizes = new Map(steps.map(({ blob }) => [blob.digest, blob.size]));
  const fds = new Map<string, number>();
  return {
    // Async, so that all errors reject.
    // eslint-disable-next-line @typescript-eslint/require-await
    readable: async (digest) => {
      const fd = fds.get(digest) ?? openSync(content.path(digest), 'r');
      fds.set(digest, fd);
      return { fd, growing: GrowingFile.complete(sizes.get(digest)!) };
    },
    done: () => Promise.resolve('present'),
    close: () => {
      for (const fd of fds.values()) closeSync(fd);
      return Promise.resolve();
    },
  };
}
