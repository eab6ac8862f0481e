import type { OperationDeps } from '../deps.js';
import { settleRuns } from './settle-runs.js';

/**
 * Removes what processes that died have left; downloads that can be resumed stay, what cannot be removed is noted. Cheap
 * when there is nothing. Call with the store locked.
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
