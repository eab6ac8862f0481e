import type { LayerApplier } from '../../layer/index.js';
import { nextChainId, type Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import type { BlobDownloads } from '../download/index.js';
import { hasLayer } from '../store/index.js';
import { type LayerPlan, unpackUndeclaredLayer } from './unpack-layers.js';

/**
 * The layers of an image without declared diffIDs (schema 1, protocol v1) that need no unpacking: the longest sequence
 * from the bottom whose blobs were unpacked in this store before and whose top layer is present.
 */
export async function knownLayers(
  { metadata, snapshots }: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  blobs: readonly Descriptor[],
): Promise<LayerPlan[]> {
  const records = new Map(
    (await metadata.layers.list()).flatMap((layer) => (layer.blob === undefined ? [] : [[layer.blob.digest, layer]])),
  );
  const steps: LayerPlan[] = [];
  for (const { digest } of blobs) {
    const record = records.get(digest);
    if (record?.blob === undefined) break;
    const parent = steps.at(-1)?.chainId;
    steps.push({ blob: record.blob, diffId: record.diffId, chainId: nextChainId(parent, record.diffId), parent });
  }
  while (steps.length > 0 && !(await hasLayer({ metadata, snapshots }, steps.at(-1)!.chainId))) steps.pop();
  return steps;
}

/**
 * Unpacks `blobs`, oldest first, onto `below`, each as soon as it is known and its bytes arrive. Resolves with all
 * layers, including `below`. Throws as `unpackUndeclaredLayer`.
 */
export async function unpackUndeclared(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>,
  downloads: BlobDownloads,
  applier: LayerApplier,
  options: {
    readonly below: readonly LayerPlan[];
    readonly blobs: Iterable<Descriptor> | AsyncIterable<Descriptor>;
    readonly signal: AbortSignal;
  },
): Promise<LayerPlan[]> {
  const { signal } = options;
  const steps = [...options.below];
  for await (const blob of options.blobs)
    steps.push(await unpackUndeclaredLayer(deps, downloads, applier, { blob, parent: steps.at(-1)?.chainId, signal }));
  return steps;
}
