import type { OperationDeps } from '../deps.js';
import { settleRuns } from './settle-runs.js';

/**
 * Removes leftovers of dead processes except resumable downloads, and notes what cannot be removed. Cheap when there is
 * nothing to do. Requires the store's lock.
 */
export async function sweepStore({
  content,
  metadata,
  snapshots,
  runtime,
  progress,
}: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'> &
  Partial<Pick<OperationDeps, 'runtime'>>): Promise<void> {
  if (runtime !== undefined) await settleRuns({ metadata, snapshots, runtime, progress });
  const { images, layers, containers, uploads, steps, caches } = metadata;
  const records = [images, layers, containers, uploads, steps, caches].map((set) => set.sweep());
  const [stuck] = await Promise.all([snapshots.sweep(), content.sweep(), ...records]);
  for (const line of stuck) progress.note(line);
}
