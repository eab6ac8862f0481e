import { PassThrough } from 'node:stream';
import type { LayerChange } from '../../layer/index.js';
import { bothOrFirstError } from '../../util/index.js';
import {
  type ChainId,
  type Descriptor,
  type DiffId,
  digestHex,
  formatOf,
  layerMediaType,
  nextChainId,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnrecorded } from '../store/index.js';

/** A tree to make a layer of. */
export interface TreeToPack {
  /** The layer below; undefined for a first layer. */
  readonly below: ChainId | undefined;
  /** Directory of the tree. */
  readonly upper: string;
  /** Key of a subvolume with the same files, for `snapshots.commit`: it becomes the layer. */
  readonly key: string;
  /** What changed from `below` to `upper`. */
  readonly changes: readonly LayerChange[];
  /** Media type of the manifest that the layer is for. */
  readonly manifestType: string;
  /** What progress events are about. */
  readonly subject: string;
  readonly sourceDateEpoch?: number | undefined;
  /** As in `PackInput`. */
  readonly clampParents?: boolean;
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/** A layer that is in the store as blob, subvolume and record. */
export interface StoredLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
}

/**
 * Packs changes into a blob of the store and makes the subvolume the layer: nothing is unpacked. All is on disk afterwards.
 * Throws what packing throws, DiskSpaceError; nothing is published then.
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
    // Without a layer below, nothing else carries the metadata of the root.
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
  const blob = { mediaType: layerMediaType(formatOf(tree.manifestType), 'gzip', ''), digest, size };
  const chainId = nextChainId(below, diffId);
  const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
  try {
    if ((await deps.metadata.layers.get(digestHex(chainId))) === undefined) await dropUnrecorded(deps, chainId, signal);
    await deps.snapshots.commit(chainId, tree.key);
    // This layer exists nowhere else, so it is on disk before anything says that it is there.
    await deps.snapshots.sync();
    // When the container is removed, nothing else tells how the two layers are related.
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
      bootId: tree.bootId,
      ...(origin === undefined ? {} : { origin }),
    });
  } finally {
    lock.release();
  }
  deps.progress.event({ ...event, digest, state: 'done', transferred: tarSize, total: tarSize });
  return { blob, diffId };
}
