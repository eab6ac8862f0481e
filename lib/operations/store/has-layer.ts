import type { ImageRecord, LayerRecord, StepRecord } from '../../metadata/index.js';
import { digestHex, parseDigest, type ChainId } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { isIntact } from './is-intact.js';

/** What telling whether a layer is here needs. */
export type LayerDeps = Pick<OperationDeps, 'metadata' | 'snapshots'>;

/**
 * Whether a layer is here: as a subvolume, with a record, and with records of all layers below. A subvolume without a record
 * is left over from a process that was killed: its files may be incomplete, and so are those of layers made from it. So may
 * be those of a layer that was written just before a power cut.
 */
export async function hasLayer(deps: LayerDeps, layer: ChainId): Promise<boolean> {
  if (!(await deps.snapshots.has(layer))) return false;
  for (let next: ChainId | undefined = layer; next !== undefined;) {
    const record: LayerRecord | undefined = await deps.metadata.layers.get(digestHex(next));
    if (record === undefined || deps.metadata.mayBeCut(record)) return false;
    next = record.parent;
  }
  return true;
}

/**
 * Whether an image of the store can be used as it is: manifest, config and index have the bytes that their digests say, and
 * its top layer is here. Layer blobs are not looked at.
 */
export async function isComplete(
  deps: LayerDeps & Pick<OperationDeps, 'content'>,
  { manifest, config, index, chainIds }: ImageRecord,
): Promise<boolean> {
  for (const document of [manifest, config, index])
    if (document !== undefined && !(await isIntact(deps.content, document))) return false;
  const top = chainIds.at(-1);
  return top === undefined || hasLayer(deps, top);
}

/** Whether a layer on top of one that is here is here too. */
export async function isRecorded({ metadata, snapshots }: LayerDeps, layer: ChainId): Promise<boolean> {
  return (await metadata.layers.get(digestHex(layer))) !== undefined && (await snapshots.has(layer));
}

/** Removes the subvolume of a layer that has no record, and all layers made from it. Call with the layer locked. */
export async function dropUnrecorded(
  { metadata, snapshots }: LayerDeps,
  layer: ChainId,
  signal: AbortSignal,
): Promise<void> {
  if (!(await snapshots.has(layer))) return;
  for (const above of madeFrom(await metadata.layers.list(), [layer])) {
    const key = digestHex(above);
    const lock = await metadata.lock(`layer-${key}`, { mode: 'exclusive', signal });
    try {
      await metadata.layers.delete(key);
      await snapshots.removeLayer(above);
    } finally {
      lock.release();
    }
  }
  // Last: after a kill in between, the next command finds it and continues.
  await snapshots.removeLayer(layer);
}

/** The subvolumes of layers and of build steps that have no record and that no process is about to record. */
export async function unrecordedLayers({ metadata, snapshots }: LayerDeps): Promise<ChainId[]> {
  const [layers, steps] = await Promise.all([metadata.layers.list(), metadata.steps.list()]);
  const recorded = new Set([...layers.map(({ chainId }) => chainId), ...steps.map(stepSubvolume)]);
  const found: ChainId[] = [];
  for (const chainId of await snapshots.listLayers()) {
    if (recorded.has(chainId)) continue;
    const key = digestHex(chainId);
    const lock = await metadata.tryLock(`layer-${key}`, 'shared');
    if (lock === undefined) continue;
    const isRecordedNow = async (): Promise<boolean> =>
      (await metadata.layers.get(key)) !== undefined ||
      (await metadata.steps.list()).some((step) => stepSubvolume(step) === chainId);
    if (!(await isRecordedNow())) found.push(chainId);
    lock.release();
  }
  return found;
}

/** Name of the subvolume with the files of a build step, as the snapshotter takes it. */
export function stepSubvolume({ id }: Pick<StepRecord, 'id'>): ChainId {
  return parseDigest(`sha256:${id}`) as ChainId;
}

/** The layers whose records stand on one of `roots`, from the bottom up. */
export function madeFrom(layers: readonly LayerRecord[], roots: readonly ChainId[]): ChainId[] {
  const found: ChainId[] = [];
  const below = new Set(roots);
  for (let before = -1; before !== found.length;) {
    before = found.length;
    for (const { chainId, parent } of layers) {
      if (parent === undefined || !below.has(parent) || below.has(chainId)) continue;
      below.add(chainId);
      found.push(chainId);
    }
  }
  return found;
}
