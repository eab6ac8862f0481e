import { digestHex } from '../../spec/index.js';
import type { LayerRecord, MetadataStore } from '../../metadata/index.js';
import type { Snapshotter } from '../../snapshot/index.js';

export interface SyncLayersDeps {
  readonly metadata: Pick<MetadataStore, 'layers' | 'tryLock' | 'bootId'>;
  readonly snapshots: Pick<Snapshotter, 'sync' | 'removeLayer'>;
}

/**
 * Makes the layers written since boot durable: lists those that are not `sealed`, syncs, and marks them. A layer
 * recorded after the start of the sync is left to the next call. Does not sync when there are none. Resolves with their
 * number.
 */
export async function syncLayers(deps: SyncLayersDeps): Promise<number> {
  const { metadata, snapshots } = deps;
  const written = (await metadata.layers.list()).filter((layer) => !layer.sealed && layer.bootId === metadata.bootId);
  if (written.length === 0) return 0;
  await snapshots.sync();
  let sealed = 0;
  for (const layer of written)
    await whileUnchanged(deps, layer, async (key) => {
      await metadata.layers.put(key, { ...layer, sealed: true });
      sealed += 1;
    });
  return sealed;
}

/** True when there are unsealed layers of another boot. Only reads records. */
export async function hasUnsealedOfAnotherBoot({
  metadata,
}: {
  readonly metadata: Pick<MetadataStore, 'layers' | 'bootId'>;
}): Promise<boolean> {
  return (await metadata.layers.list()).some((layer) => !layer.sealed && layer.bootId !== metadata.bootId);
}

/**
 * Drops unsealed layers of another boot, because a crash may have truncated their data; they will be unpacked again.
 * Called at the start of each command that writes. Resolves with the dropped records.
 */
export async function dropUnsealedLayers(deps: SyncLayersDeps): Promise<LayerRecord[]> {
  const doubtful = (await deps.metadata.layers.list()).filter(
    (layer) => !layer.sealed && layer.bootId !== deps.metadata.bootId,
  );
  const dropped: LayerRecord[] = [];
  for (const layer of doubtful)
    await whileUnchanged(deps, layer, async (key) => {
      // Deletes the record last, so that the next command continues after a crash.
      await deps.snapshots.removeLayer(layer.chainId);
      await deps.metadata.layers.delete(key);
      dropped.push(layer);
    });
  return dropped;
}

/** Runs `act` under the layer's lock, unless the layer is in use or its record has changed since it was listed. */
async function whileUnchanged(
  deps: SyncLayersDeps,
  listed: LayerRecord,
  act: (key: string) => Promise<void>,
): Promise<void> {
  const key = digestHex(listed.chainId);
  const lock = await deps.metadata.tryLock(`layer-${key}`, 'exclusive');
  if (lock === undefined) return;
  try {
    const now = await deps.metadata.layers.get(key);
    if (now !== undefined && !now.sealed && now.bootId === listed.bootId) await act(key);
  } finally {
    lock.release();
  }
}
