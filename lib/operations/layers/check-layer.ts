import { DigestMismatchError, ImgtoolError } from '../../errors.js';
import type { LayerApplier } from '../../layer/index.js';
import type { LayerRecord } from '../../metadata/index.js';
import type { Change } from '../../rootfs/index.js';
import type { ChainId } from '../../spec/index.js';
import { GrowingFile } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { blobsInStore } from '../download/index.js';
import { withWorkKey } from '../store/index.js';

export type CheckLayerDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'compareTrees' | 'progress'>;

/**
 * Unpacks a layer's blob onto the layer below and compares the result with the layer. Resolves with a description of
 * the difference, or undefined. The store must have the blob and both layers. Throws SyscallError, DiskSpaceError,
 * AbortError.
 */
export async function checkLayer(
  deps: CheckLayerDeps,
  applier: LayerApplier,
  { layer, signal }: { readonly layer: LayerRecord; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { blob } = layer;
  if (blob === undefined) return undefined;
  const downloads = blobsInStore(deps.content);
  try {
    return await withWorkKey(deps, signal, (key) =>
      withWorkKey(deps, signal, async (frozen) => {
        const root = await deps.snapshots.prepare(key, layer.parent);
        const { fd } = await downloads.readable(blob.digest);
        const { size } = blob;
        const applied = await applier.apply({ fd, growing: GrowingFile.complete(size), size, root, signal });
        if (applied.diffId !== layer.diffId) return `its blob ${blob.digest} unpacks to the diffID ${applied.diffId}`;
        const upper = await deps.snapshots.freezeWork(frozen, key);
        return compareFrozen(deps, layer.chainId, { frozen, upper, signal });
      }),
    );
  } catch (error) {
    if (error instanceof DigestMismatchError || isBadLayer(error)) return (error as Error).message;
    throw error;
  } finally {
    await downloads.close();
  }
}

/**
 * Compares a layer with its unpacked and frozen blob (key `frozen`). Resolves with a description of the difference, or
 * undefined.
 */
async function compareFrozen(
  { snapshots, compareTrees }: CheckLayerDeps,
  layer: ChainId,
  { frozen, upper, signal }: { readonly frozen: string; readonly upper: string; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const wrong = (await compareTrees({ lower: snapshots.layerPath(layer), upper, signal })).filter(isDamage);
  if (wrong.length > 0)
    return `its files are not those of its blob: ${firstOf(wrong.map(({ path }) => path.toString('utf8')))}`;
  const marked = await snapshots.listMarked({ layer });
  const usual = marked.size === 0 ? marked : await snapshots.listMarked({ key: frozen });
  const extra = [...marked].flatMap(([path, marks]) => (usual.get(path) === marks ? [] : path));
  return extra.length === 0
    ? undefined
    : `its files have flags that are not in its blob (lsattr): ${firstOf(extra.map((path) => Buffer.from(path, 'latin1').toString('utf8')))}`;
}

function firstOf(paths: readonly string[]): string {
  return `${paths[0]}${paths.length === 1 ? '' : ` and ${paths.length - 1} more`}`;
}

/** A commit keeps sockets, and times newer than in the blob (SOURCE_DATE_EPOCH), in the layer. */
function isDamage({ kind, type, changed }: Change): boolean {
  if (kind !== 'C') return type !== 'socket';
  return changed.some((aspect) => aspect !== 'mtime');
}

function isBadLayer(error: unknown): boolean {
  return (
    error instanceof ImgtoolError &&
    ['ERR_IMGTOOL_LAYER_FORMAT', 'ERR_IMGTOOL_PATH_ESCAPE', 'ERR_IMGTOOL_UNSUPPORTED_MEDIA_TYPE'].includes(error.code)
  );
}
