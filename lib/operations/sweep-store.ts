import type { OperationDeps } from './deps.js';

/** Removes what processes that died have left; downloads that can be resumed stay. Cheap when there is nothing. */
export async function sweepStore({
  content,
  metadata,
  snapshots,
}: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots'>): Promise<void> {
  const { images, layers, containers } = metadata;
  await Promise.all([snapshots.sweep(), content.sweep(), images.sweep(), layers.sweep(), containers.sweep()]);
}
