import type { ImageRecord, LayerRecord, StepRecord } from '../../metadata/index.js';
import { digestHex, parseDigest, type ChainId } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { isIntact } from './is-intact.js';

export type LayerDeps = Pick<OperationDeps, 'metadata' | 'snapshots'>;

/**
 * True when the store has a layer: its subvolume, its record, and the records of all layers below. A subvolume without
 * a record comes from a killed process. Its files may be incomplete, and so may those of layers created from it and of
 * a layer written just before a power cut.
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
 * True when an image of the store is usable: manifest, config and index match their digests, and the store has the top
 * layer. Does not check the blobs of layers.
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

/** Like `hasLayer`, when the store is known to have the layers below. */
export async function isRecorded({ metadata, snapshots }: LayerDeps, layer: ChainId): Promise<boolean> {
  return (await metadata.layers.get(digestHex(layer))) !== undefined && (await snapshots.has(layer));
}

/** Removes the subvolume of a layer that has no record, and all layers created from it. Requires the layer's lock. */
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
  // Removed last, so that the next command finds it and continues if this process is killed.
  await snapshots.removeLayer(layer);
}

/** Subvolumes of layers and build steps without a record, unless a process is about to record them. */
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

/** The snapshotter's name for the subvolume of a build step. */
export function stepSubvolume({ id }: Pick<StepRecord, 'id'>): ChainId {
  return parseDigest(`sha256:${id}`) as ChainId;
}

/** The layers created from one of `roots` according to their records, lowest first. */
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
