import { randomBytes } from 'node:crypto';
import type { HeldLock } from '../../metadata/index.js';
import { thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnsealedLayers, hasUnsealedOfAnotherBoot } from './sync-layers.js';

/**
 * Locks the store in shared mode. First drops unsealed layers of another boot, under an exclusive lock. Throws
 * AbortError.
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
 * Runs `work` with a new key for a work subvolume, which counts as in use meanwhile. Afterwards removes what was
 * created with this key and not committed. Throws as `work`, AbortError.
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
