import { NotFoundError, UsageError } from '../errors.js';
import type { Change } from '../rootfs/index.js';
import type { ChainId } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { findContainer } from './find-container.js';
import { findImage } from './find-image.js';
import { withFrozen } from './freeze-container.js';

type DiffDeps = Pick<OperationDeps, 'metadata' | 'snapshots' | 'compareTrees' | 'progress'>;

/** A tree in the store: a layer (undefined: the empty tree), or a container to be frozen. */
type Tree =
  { readonly layer: ChainId | undefined } | { readonly container: string; readonly base: ChainId | undefined };

/**
 * What changed in `subject` (container or image) since `other`; without it since what a container was made from, or since
 * the layer below an image's top one. Sorted bytewise by path. Takes a time that depends on the number of changes where
 * one tree is a snapshot of the other. Throws NotFoundError, UsageError, SyscallError, AbortError.
 */
export async function diffTrees(
  deps: DiffDeps,
  {
    subject,
    other,
    signal,
  }: { readonly subject: string; readonly other: string | undefined; readonly signal: AbortSignal },
): Promise<Change[]> {
  const store = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const upper = await findTree(deps, subject);
    const lower = other === undefined ? undefined : await findTree(deps, other);
    return await withPath(deps, upper, signal, async (upperPath) => {
      if (lower !== undefined) {
        return withPath(deps, lower, signal, (lowerPath) => compare(deps, lowerPath, upperPath, signal));
      }
      const below = 'container' in upper ? upper.base : await parentOf(deps, upper.layer);
      return compare(deps, await layerPath(deps, below), upperPath, signal);
    });
  } finally {
    store.release();
  }
}

function compare(
  deps: DiffDeps,
  lower: string | undefined,
  upper: string | undefined,
  signal: AbortSignal,
): Promise<Change[]> {
  if (upper === undefined) throw new UsageError('an image without layers has nothing to compare');
  return deps.compareTrees({ lower, upper, signal, onNote: (line) => deps.progress.note(line) });
}

async function findTree(deps: DiffDeps, input: string): Promise<Tree> {
  if (input.startsWith('docker://')) {
    throw new UsageError(`${input} is at a registry, and only what is in the store can be compared`, {
      hint: `fetch it first: imgtool pull ${input}`,
    });
  }
  try {
    const { id, base } = await findContainer(deps, input);
    return { container: id, base };
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  try {
    return { layer: (await findImage(deps, input)).record.chainIds.at(-1) };
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    throw new NotFoundError(`there is no container and no image ${input} in the store`, {
      kind: 'image',
      subject: input,
      hint: 'see "imgtool containers" and "imgtool images"',
    });
  }
}

async function withPath<T>(
  deps: DiffDeps,
  tree: Tree,
  signal: AbortSignal,
  work: (path: string | undefined) => Promise<T>,
): Promise<T> {
  if ('container' in tree) return withFrozen(deps, { id: tree.container, signal }, ({ path }) => work(path));
  return work(await layerPath(deps, tree.layer));
}

async function layerPath(deps: DiffDeps, layer: ChainId | undefined): Promise<string | undefined> {
  if (layer === undefined) return undefined;
  if (await deps.snapshots.has(layer)) return deps.snapshots.layerPath(layer);
  throw new NotFoundError(`layer ${layer} is not in the store`, {
    kind: 'layer',
    subject: layer,
    hint: 'pull the image again',
  });
}

async function parentOf(deps: DiffDeps, layer: ChainId | undefined): Promise<ChainId | undefined> {
  for (const { chainIds } of await deps.metadata.images.list()) {
    const at = layer === undefined ? -1 : chainIds.indexOf(layer);
    if (at >= 0) return chainIds[at - 1];
  }
  return undefined;
}
