import { DiskSpaceError } from '../../errors.js';
import type { BlobReader, Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { syncLayers } from '../store/index.js';
import { type BlobDownloads, startDownloads } from './blob-downloads.js';

type FetchDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/**
 * Downloads `blobs` (oldest first) while `unpack` processes what has arrived. Meanwhile syncs the layers of earlier
 * commands. Ends the downloads when `unpack` fails. Resolves and throws as `unpack`.
 */
export async function whileFetching<T>(
  deps: FetchDeps,
  source: BlobReader,
  options: { readonly blobs: readonly Descriptor[]; readonly signal: AbortSignal },
  unpack: (downloads: BlobDownloads, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return whileSyncing(deps, async () => {
    const failure = new AbortController();
    const signal = AbortSignal.any([options.signal, failure.signal]);
    const downloads = startDownloads(deps, source, { blobs: options.blobs, signal });
    try {
      return await unpack(downloads, signal);
    } catch (error) {
      failure.abort(error);
      throw error;
    } finally {
      await downloads.close();
    }
  });
}

/** Runs `work` and meanwhile syncs the layers of earlier commands. */
export async function whileSyncing<T>(
  deps: Pick<FetchDeps, 'metadata' | 'snapshots' | 'progress'>,
  work: () => Promise<T>,
): Promise<T> {
  const syncing = syncEarlier(deps);
  try {
    return await work();
  } catch (error) {
    // btrfs frees deleted subvolumes later; without waiting, the next command would still find the disk full.
    if (error instanceof DiskSpaceError) await deps.snapshots.sync();
    throw error;
  } finally {
    await syncing;
  }
}

/** A failed sync does not fail the command: the layers stay unsealed, and the next command tries again. */
async function syncEarlier({
  metadata,
  snapshots,
  progress,
}: Pick<FetchDeps, 'metadata' | 'snapshots' | 'progress'>): Promise<void> {
  try {
    await syncLayers({ metadata, snapshots });
  } catch (error) {
    progress.note(`layers of earlier pulls could not be made safe against power loss: ${(error as Error).message}`);
  }
}
