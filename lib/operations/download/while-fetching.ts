import { DiskSpaceError } from '../../errors.js';
import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { sealLayers } from '../store/index.js';
import { type BlobArrivals, startArrivals } from './blob-arrivals.js';

type FetchDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/**
 * Fetches `blobs` (oldest first) while `unpack` works on what has arrived, and makes what earlier commands wrote safe
 * meanwhile. When `unpack` fails the downloads end. Resolves and throws as it does.
 */
export async function whileFetching<T>(
  deps: FetchDeps,
  repository: RepositoryReader,
  options: { readonly blobs: readonly Descriptor[]; readonly signal: AbortSignal },
  unpack: (arrivals: BlobArrivals, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return whileSealing(deps, async () => {
    const failure = new AbortController();
    const signal = AbortSignal.any([options.signal, failure.signal]);
    const arrivals = startArrivals(deps, repository, { blobs: options.blobs, signal });
    try {
      return await unpack(arrivals, signal);
    } catch (error) {
      failure.abort(error);
      throw error;
    } finally {
      await arrivals.close();
    }
  });
}

/** Does `work` while what earlier commands wrote is made safe. */
export async function whileSealing<T>(
  deps: Pick<FetchDeps, 'metadata' | 'snapshots' | 'progress'>,
  work: () => Promise<T>,
): Promise<T> {
  const sealing = sealEarlier(deps);
  try {
    return await work();
  } catch (error) {
    // btrfs frees a removed subvolume lazily: without this the next command still finds the disk full.
    if (error instanceof DiskSpaceError) await deps.snapshots.sync();
    throw error;
  } finally {
    await sealing;
  }
}

/** A failure is no reason to fail a pull: the layers stay unsealed, and the next command tries again. */
async function sealEarlier({
  metadata,
  snapshots,
  progress,
}: Pick<FetchDeps, 'metadata' | 'snapshots' | 'progress'>): Promise<void> {
  try {
    await sealLayers({ metadata, snapshots });
  } catch (error) {
    progress.note(`layers of earlier pulls could not be made safe against power loss: ${(error as Error).message}`);
  }
}
