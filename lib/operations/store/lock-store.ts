import type { HeldLock } from '../../metadata/index.js';
import type { OperationDeps } from '../deps.js';
import { dropUnsealedLayers, hasUnsealedOfAnotherBoot } from './seal-layers.js';

/**
 * Takes the store for work that others may do beside: what another boot left unsealed is dropped first, while nobody else
 * works. Throws AbortError; TypeError for a boot ID that is no string.
 */
export async function lockStore(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'progress'>,
  { bootId, signal }: { readonly bootId: string; readonly signal: AbortSignal },
): Promise<HeldLock> {
  const { metadata, snapshots, progress } = deps;
  // A program in JavaScript easily forgets to await it, and the records would lose it.
  if (typeof bootId !== 'string') throw new TypeError('bootId must be a string: await currentBootId()');
  if (await hasUnsealedOfAnotherBoot({ metadata, bootId })) {
    const alone = await metadata.lock('store', {
      mode: 'exclusive',
      signal,
      onWait: () => progress.note('waiting for other imgtool processes that work in the store'),
    });
    try {
      const { length } = await dropUnsealedLayers({ metadata, snapshots, bootId });
      if (length > 0)
        progress.note(`${length === 1 ? 'a layer' : `${length} layers`} written just before a restart: unpacked anew`);
    } finally {
      alone.release();
    }
  }
  await metadata.keepRoom();
  return metadata.lock('store', { mode: 'shared', signal });
}
