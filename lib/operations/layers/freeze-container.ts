import { findCause, systemErrorName } from '../../errors.js';
import type { OperationDeps } from '../deps.js';
import { withWorkKey } from '../store/index.js';

/** A read-only snapshot of a container's files. */
export interface FrozenContainer {
  /** Key of the snapshot for `snapshots.commit`. */
  readonly key: string;
  /** Absolute path. */
  readonly path: string;
}

/**
 * Freezes container `id` while `work` runs. Removes the snapshot afterwards unless `work` has turned it into a layer.
 * The container may keep running. The snapshot does not contain mount points created by its run. Throws NotFoundError
 * when the container has no files.
 */
export async function withFrozen<T>(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots'> & Partial<Pick<OperationDeps, 'runtime'>>,
  { id, signal }: { readonly id: string; readonly signal: AbortSignal },
  work: (frozen: FrozenContainer) => Promise<T>,
): Promise<T> {
  return withWorkKey(deps, signal, async (key) => {
    const { runtime } = deps;
    // A run that ends meanwhile removes its journal, and a starting one has not written any yet.
    const before = await runtime?.mountPoints(id);
    const path = await deps.snapshots.freeze(key, id).catch((error: unknown) => {
      // On a read-only file system, the container itself cannot change.
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
