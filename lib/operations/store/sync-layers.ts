import { digestHex } from '../../spec/index.js';
import type { LayerRecord, MetadataStore } from '../../metadata/index.js';
import type { Snapshotter } from '../../snapshot/index.js';

/** The records of layers, and the subvolumes that they describe. */
export interface SyncLayersDeps {
  readonly metadata: Pick<MetadataStore, 'layers' | 'tryLock' | 'bootId'>;
  readonly snapshots: Pick<Snapshotter, 'sync' | 'removeLayer'>;
}

/**
 * Makes the layers written in this boot safe against power loss: lists those not yet `sealed`, syncs, and marks them.
 * A layer recorded after the sync began is left to the next call. Resolves with their number; without any, no sync.
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

/** Whether another boot left layers unsealed. Reads records only. */
export async function hasUnsealedOfAnotherBoot({
  metadata,
}: {
  readonly metadata: Pick<MetadataStore, 'layers' | 'bootId'>;
}): Promise<boolean> {
  return (await metadata.layers.list()).some((layer) => !layer.sealed && layer.bootId !== metadata.bootId);
}

/**
 * Drops the layers that another boot left unsealed: a crash may have cut their data. They are unpacked again from their blobs.
 * Called at the start of whatever writes. Resolves with the dropped records.
 */
export async function dropUnsealedLayers(deps: SyncLayersDeps): Promise<LayerRecord[]> {
  const doubtful = (await deps.metadata.layers.list()).filter(
    (layer) => !layer.sealed && layer.bootId !== deps.metadata.bootId,
  );
  const dropped: LayerRecord[] = [];
  for (const layer of doubtful)
    await whileUnchanged(deps, layer, async (key) => {
      // The record goes last: after a crash in between, the next start finds it and goes on.
      await deps.snapshots.removeLayer(layer.chainId);
      await deps.metadata.layers.delete(key);
      dropped.push(layer);
    });
  return dropped;
}

/** Acts under the layer's lock if its record still says what was listed; one that is busy or changed is skipped. */
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
