import { randomBytes } from 'node:crypto';
import type { HeldLock } from '../../metadata/index.js';
import { thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnsealedLayers, hasUnsealedOfAnotherBoot } from './sync-layers.js';

/**
 * Locks the store, shared with other processes. Layers that another boot left unsealed are dropped first, under an exclusive
 * lock. Throws AbortError.
 */
export async function lockStore(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'progress'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<HeldLock> {
  const { metadata, snapshots, progress } = deps;
  if (await hasUnsealedOfAnotherBoot({ metadata })) {
    const alone = await metadata.lock('store', {
      mode: 'exclusive',
      signal,
      onWait: () => progress.note('waiting for other imgtool processes that work in the store'),
    });
    try {
      const { length } = await dropUnsealedLayers({ metadata, snapshots });
      if (length > 0)
        progress.note(
          `dropped ${length === 1 ? 'a layer' : `${length} layers`} written just before a restart and possibly incomplete`,
        );
    } finally {
      alone.release();
    }
  }
  await metadata.keepRoom();
  return metadata.lock('store', { mode: 'shared', signal });
}

/**
 * Runs `work` with a new key for a subvolume in work, which counts as alive meanwhile; what it made under that key and did not
 * commit is removed afterwards. Throws as `work` does, AbortError.
 */
export async function withWorkKey<T>(
  { metadata, snapshots }: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  signal: AbortSignal,
  work: (key: string) => Promise<T>,
): Promise<T> {
  const key = randomBytes(16).toString('hex');
  const alive = await metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
  return thenCloseAll(() => work(key), [() => snapshots.removeWork(key), () => alive.release()]);
}
