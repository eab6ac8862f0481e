import type { OperationDeps } from '../deps.js';
import { removeInLockedStore } from './remove-container.js';

/**
 * Ends the commands whose imgtool died, and removes what their runs left, containers that were to be removed included.
 * A container that cannot be cleaned up is noted and left for the next time, so that it stops no other work. Cheap when
 * there is nothing. Call with the store locked, in either mode.
 */
export async function settleRuns({
  metadata,
  snapshots,
  runtime,
  progress,
}: Pick<OperationDeps, 'metadata' | 'snapshots' | 'runtime' | 'progress'>): Promise<void> {
  for (const id of await runtime.list()) {
    const running = await metadata.tryLock(`running-${id}`, 'exclusive');
    if (running === undefined) continue;
    try {
      await snapshots.unlockContainer(id);
      const remove = await runtime.settle(id, snapshots.containerPath(id));
      if (remove) await removeInLockedStore({ metadata, snapshots }, id, new AbortController().signal);
    } catch (error) {
      progress.note(`container ${id.slice(0, 12)} could not be cleaned up: ${(error as Error).message}`);
    } finally {
      running.release();
    }
  }
}
