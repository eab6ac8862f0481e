import { NotFoundError, UsageError } from '../../errors.js';
import type { Change } from '../../rootfs/index.js';
import { parseReference, type ChainId, type Platform } from '../../spec/index.js';
import { ifFound, thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { type LayerPlan, withFrozen } from '../layers/index.js';
import { findContainer, findImage, hasLayer } from '../store/index.js';
import { type RemoteImage, type RemoteRootfsDeps, RemoteRootfs } from './remote-rootfs.js';

type DiffDeps = Pick<OperationDeps, 'compareTrees'> & RemoteRootfsDeps;

export interface DiffRequest {
  /** A container, an image, or `docker://REF` for an image at its registry. */
  readonly subject: string;
  readonly other: string | undefined;
  /** Platform for images at registries. */
  readonly platform: Platform;
  readonly platformGiven: boolean;
  /** Free space to keep on the store's file system when fetching layers, in bytes. */
  readonly reserveBytes: number;
  readonly signal: AbortSignal;
}

/** A tree to compare: a layer (undefined: the empty tree), a container to freeze, or layers at a registry. */
type Tree =
  | { readonly layer: ChainId | undefined }
  | { readonly container: string; readonly base: ChainId | undefined }
  | { readonly image: RemoteImage; readonly steps: readonly LayerPlan[] };

/**
 * Lists the changes in `subject` since `other`. Default for `other`: the base of a container, or the layers below an
 * image's top layer. Sorted bytewise by path. If one tree is a snapshot of the other, the time is proportional to the
 * changes. For an image at a registry, fetches only missing layers and keeps none. Throws NotFoundError, UsageError,
 * SyscallError, AbortError, the errors of the registry and of unpacking.
 */
export async function diffTrees(deps: DiffDeps, request: DiffRequest): Promise<Change[]> {
  const { subject, other, signal } = request;
  const store = await deps.metadata.lock('store', { mode: 'shared', signal });
  const remote = new RemoteRootfs(deps);
  const diff = async (): Promise<Change[]> => {
    const upper = await findTree(deps, remote, { input: subject, request });
    const lower =
      other === undefined ? await below(deps, upper) : await findTree(deps, remote, { input: other, request });
    const [top, bottom] = [topOf(upper), topOf(lower)];
    if (top !== undefined && top === bottom) return [];
    await shareLayers(remote, [upper, lower], request);
    const path = (tree: Tree, work: (path: string | undefined) => Promise<Change[]>): Promise<Change[]> =>
      withPath(deps, remote, { tree, request }, work);
    return path(upper, (upperPath) =>
      path(lower, async (lowerPath) => {
        if (upperPath === undefined) throw new UsageError('an image without layers has nothing to compare');
        const onNote = (line: string): void => deps.progress.note(line);
        return deps.compareTrees({ lower: lowerPath, upper: upperPath, signal, onNote });
      }),
    );
  };
  return thenCloseAll(diff, [() => remote.close(), () => store.release(), () => remote.dropBlobs()]);
}

async function findTree(
  deps: DiffDeps,
  remote: RemoteRootfs,
  { input, request }: { readonly input: string; readonly request: DiffRequest },
): Promise<Tree> {
  if (input.startsWith('docker://')) {
    const image = await remote.find({ ...request, reference: parseReference(input) });
    return { image, steps: image.steps };
  }
  const container = await ifFound(findContainer(deps, input));
  if (container !== undefined) return { container: container.id, base: container.base };
  const image = await ifFound(findImage(deps, input));
  if (image !== undefined) return { layer: image.record.chainIds.at(-1) };
  throw new NotFoundError(`there is no container and no image ${input} in the store`, {
    kind: 'image',
    subject: input,
    hint: 'see "imgtool containers" and "imgtool images"; docker://REF is an image at its registry',
  });
}

/** The default tree to compare with. */
async function below(deps: DiffDeps, tree: Tree): Promise<Tree> {
  if ('container' in tree) return { layer: tree.base };
  if ('steps' in tree) return { image: tree.image, steps: tree.steps.slice(0, -1) };
  return { layer: await parentOf(deps, tree.layer) };
}

/** The top layer of a tree; undefined if it is unknown. */
function topOf(tree: Tree): ChainId | undefined {
  if ('container' in tree) return undefined;
  return 'steps' in tree ? tree.steps.at(-1)?.chainId : tree.layer;
}

/** Prepares the common layers of two remote trees first, so that they are fetched and unpacked once. */
async function shareLayers(remote: RemoteRootfs, [a, b]: readonly [Tree, Tree], request: DiffRequest): Promise<void> {
  if (!('steps' in a && 'steps' in b)) return;
  const end = a.steps.findIndex(({ chainId }, i) => chainId !== b.steps[i]?.chainId);
  await remote.pathOf(a.image, end < 0 ? a.steps : a.steps.slice(0, end), request);
}

async function withPath<T>(
  deps: DiffDeps,
  remote: RemoteRootfs,
  { tree, request }: { readonly tree: Tree; readonly request: DiffRequest },
  work: (path: string | undefined) => Promise<T>,
): Promise<T> {
  const { signal } = request;
  if ('container' in tree) return withFrozen(deps, { id: tree.container, signal }, ({ path }) => work(path));
  if ('steps' in tree) return work(await remote.pathOf(tree.image, tree.steps, request));
  return work(await layerPath(deps, tree.layer));
}

async function layerPath(deps: DiffDeps, layer: ChainId | undefined): Promise<string | undefined> {
  if (layer === undefined) return undefined;
  if (await hasLayer(deps, layer)) return deps.snapshots.layerPath(layer);
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
