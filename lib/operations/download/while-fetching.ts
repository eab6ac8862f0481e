import { DiskSpaceError } from '../../errors.js';
import type { BlobReader, Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { syncLayers } from '../store/index.js';
import { type BlobDownloads, startDownloads } from './blob-downloads.js';

type FetchDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/**
 * Fetches `blobs` (oldest first) while `unpack` works on what has arrived, and meanwhile syncs the layers of earlier
 * commands. When `unpack` fails, the downloads end. Resolves and throws as it does.
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

/** Does `work` while the layers of earlier commands are synced. */
export async function whileSyncing<T>(
  deps: Pick<FetchDeps, 'metadata' | 'snapshots' | 'progress'>,
  work: () => Promise<T>,
): Promise<T> {
  const syncing = syncEarlier(deps);
  try {
    return await work();
  } catch (error) {
    // btrfs frees a removed subvolume lazily: without this the next command still finds the disk full.
    if (error instanceof DiskSpaceError) await deps.snapshots.sync();
    throw error;
  } finally {
    await syncing;
  }
}

/** A failure does not fail the command: the layers stay unsealed, and the next command tries again. */
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
