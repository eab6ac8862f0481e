import { PassThrough } from 'node:stream';
import type { LayerChange } from '../../layer/index.js';
import { bothOrFirstError } from '../../util/index.js';
import {
  type ChainId,
  type Descriptor,
  type DiffId,
  digestHex,
  layerMediaType,
  type ManifestFormat,
  nextChainId,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnrecorded } from '../store/index.js';

/** A tree to turn into a layer. */
export interface TreeToPack {
  /** The layer below; undefined for a first layer. */
  readonly below: ChainId | undefined;
  /** Directory of the tree. */
  readonly upper: string;
  /** Key of a subvolume with the same files, which becomes the layer (`snapshots.commit`). */
  readonly key: string;
  /** The changes from `below` to `upper`. */
  readonly changes: readonly LayerChange[];
  /** Format of the layer's manifest. */
  readonly format: ManifestFormat;
  /** The subject of progress events. */
  readonly subject: string;
  readonly sourceDateEpoch?: number | undefined;
  /** As in `PackInput`. */
  readonly clampParents?: boolean;
  readonly signal: AbortSignal;
}

/** A layer in the store: blob, subvolume and record. */
export interface StoredLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
}

/**
 * Packs changes into a blob of the store, and turns the subvolume into the layer without unpacking. Everything is
 * durable afterwards. Throws the errors of packing, DiskSpaceError; nothing is published then.
 */
export async function packIntoStore(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'packLayer' | 'progress'>,
  tree: TreeToPack,
): Promise<StoredLayer> {
  const { below, upper, changes, sourceDateEpoch, subject, signal } = tree;
  const event = { v: 1, kind: 'layer', action: 'pack' } as const;
  const lower = below === undefined ? undefined : deps.snapshots.layerPath(below);
  const output = new PassThrough();
  const packing = deps.packLayer({
    lower,
    upper,
    // A first layer must contain the metadata of the root.
    changes: lower === undefined ? [{ kind: 'C', path: Buffer.from('/') }, ...changes] : changes,
    compression: 'gzip',
    ...(sourceDateEpoch === undefined ? {} : { sourceDateEpoch }),
    ...(tree.clampParents === true ? { clampParents: true } : {}),
    output,
    signal,
    onProgress: (transferred) => deps.progress.event({ ...event, digest: subject, state: 'active', transferred }),
  });
  const [packed, stored] = await bothOrFirstError(packing, deps.content.ingestStream(output, { signal }));
  for (const note of packed.notes) deps.progress.note(note);
  const { diffId, tarSize, entries } = packed;
  const { digest, size } = stored;
  const blob = { mediaType: layerMediaType(tree.format, 'gzip', ''), digest, size };
  const chainId = nextChainId(below, diffId);
  const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
  try {
    if ((await deps.metadata.layers.get(digestHex(chainId))) === undefined) await dropUnrecorded(deps, chainId, signal);
    await deps.snapshots.commit(chainId, tree.key);
    // No other copy of this layer exists, so it must be durable before a record names it.
    await deps.snapshots.sync();
    // After the container's removal, only this record shows how the two layers are related.
    const origin =
      below === undefined
        ? undefined
        : ((await deps.snapshots.originBelow(chainId)) ?? (await deps.metadata.layers.get(digestHex(chainId)))?.origin);
    await deps.metadata.layers.put(digestHex(chainId), {
      version: 1,
      chainId,
      ...(below === undefined ? {} : { parent: below }),
      diffId,
      blob,
      size: tarSize,
      entries,
      sealed: true,
      bootId: deps.metadata.bootId,
      ...(origin === undefined ? {} : { origin }),
    });
  } finally {
    lock.release();
  }
  deps.progress.event({ ...event, digest, state: 'done', transferred: tarSize, total: tarSize });
  return { blob, diffId };
}
