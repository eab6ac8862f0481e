import { findCause, systemErrorName } from '../../errors.js';
import type { OperationDeps } from '../deps.js';
import { withWorkKey } from '../store/index.js';

/** A container's files as they are at one moment: a read-only snapshot. */
export interface FrozenContainer {
  /** Names the snapshot for `snapshots.commit`. */
  readonly key: string;
  /** Absolute path. */
  readonly path: string;
}

/**
 * Freezes container `id` while `work` runs, and removes the snapshot afterwards unless `work` has made a layer of it.
 * The container may run and be changed meanwhile; what its run made for mounting is not in the snapshot. Throws
 * NotFoundError when it has no files any more.
 */
export async function withFrozen<T>(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots'> & Partial<Pick<OperationDeps, 'runtime'>>,
  { id, signal }: { readonly id: string; readonly signal: AbortSignal },
  work: (frozen: FrozenContainer) => Promise<T>,
): Promise<T> {
  return withWorkKey(deps, signal, async (key) => {
    const { runtime } = deps;
    // A run that ends meanwhile takes its journal with it, one that begins has none before.
    const before = await runtime?.mountPoints(id);
    const path = await deps.snapshots.freeze(key, id).catch((error: unknown) => {
      // On a file system that is read-only the container is as still as a snapshot.
      if (findCause(error, (cause) => systemErrorName(cause) === 'EROFS') === undefined) throw error;
      return undefined;
    });
    if (path === undefined) return work({ key, path: deps.snapshots.containerPath(id) });
    const journals = [before, await runtime?.mountPoints(id)].filter((journal) => journal !== undefined);
    if (runtime !== undefined && journals.length > 0)
      await deps.snapshots.changeFrozen(key, async (copy) => {
        for (const journal of journals) await runtime.removeMountPoints(copy, journal);
      });
    return work({ key, path });
  });
}
