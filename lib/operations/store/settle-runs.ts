import type { OperationDeps } from '../deps.js';
import { removeInLockedStore } from './remove-container.js';

/**
 * Kills commands whose imgtool process has died, and cleans up after them, including the removal of containers run with
 * `--rm`. Notes a container that cannot be cleaned up and leaves it for the next time, so that it does not block other
 * work. Cheap when there is nothing to do. Requires the store's lock in either mode.
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
