import { setTimeout as sleep } from 'node:timers/promises';
import { DiskSpaceError, findCause, isDiskFull } from '../errors.js';
import type { SpaceReport } from '../snapshot/index.js';
import type { OperationDeps } from './deps.js';

/** What a reserve of 1 GiB means for metadata: 32 MiB. */
const METADATA_SHARE = 32;
/** No disk is filled faster, bytes in a millisecond: the more room, the later the next look. */
const FASTEST = 4e6;
const [SHORTEST_MS, LONGEST_MS] = [10, 500] as const;

interface Reserve {
  /** Bytes to leave free; undefined: whatever there is may be used. */
  readonly reserveBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Does `work`, which writes to the store, and stops it by its signal as soon as less than the reserve is left, whoever writes.
 * When it failed for want of room, what it gave back is free before this rejects. Throws DiskSpaceError, and as `work` does.
 */
export async function keepingReserve<T>(
  { snapshots }: Pick<OperationDeps, 'snapshots'>,
  { reserveBytes, signal }: Reserve,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (reserveBytes === undefined) return work(signal);
  const [full, ended] = [new AbortController(), new AbortController()];
  const watching = watch(snapshots, reserveBytes, AbortSignal.any([ended.signal, signal])).then((shortage) => {
    if (shortage !== undefined) full.abort(shortage);
  });
  try {
    return await work(AbortSignal.any([signal, full.signal]));
  } catch (error) {
    if (!full.signal.aborted && !isForWantOfRoom(error)) throw error;
    await snapshots.settleSpace(signal);
    throw full.signal.aborted && !signal.aborted ? full.signal.reason : error;
  } finally {
    ended.abort();
    await watching;
  }
}

/** Whether something failed because the disk is full, however it came to be told. */
export function isForWantOfRoom(error: unknown): boolean {
  return findCause(error, (cause) => cause instanceof DiskSpaceError || isDiskFull(cause)) !== undefined;
}

/** What can be written until the reserve is all that is left, bytes. */
export function roomAbove({ dataFree, backingFree = Infinity }: SpaceReport, reserveBytes: number): number {
  return Math.max(0, Math.min(dataFree, backingFree) - reserveBytes);
}

/** Looks until `signal` is aborted; resolves earlier with what is wrong. */
async function watch(
  snapshots: OperationDeps['snapshots'],
  reserveBytes: number,
  signal: AbortSignal,
): Promise<DiskSpaceError | undefined> {
  try {
    for (let settled = false; ;) {
      const space = await snapshots.space();
      const room = Math.min(
        roomAbove(space, reserveBytes),
        // A file takes little of it, so it fills slowly.
        Math.max(0, space.metadataFree - reserveBytes / METADATA_SHARE) * METADATA_SHARE,
      );
      if (room === 0) {
        if (settled) return shortageError(space, reserveBytes);
        // What was removed just now may be free in a moment.
        await snapshots.settleSpace(signal);
        settled = true;
        continue;
      }
      settled = false;
      await sleep(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, room / FASTEST)), undefined, { signal, ref: false });
    }
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

function shortageError({ dataFree, backingFree, metadataFree }: SpaceReport, reserveBytes: number): DiskSpaceError {
  const megabytes = (bytes: number): string => `${Math.floor(bytes / 1e6)} MB`;
  const free = Math.min(dataFree, backingFree ?? Infinity);
  const where = backingFree !== undefined && backingFree < dataFree ? 'the disk that carries the pool' : 'the store';
  const left =
    free > reserveBytes
      ? `the store has ${megabytes(metadataFree)} left for metadata`
      : `${where} has ${megabytes(free)} left`;
  return new DiskSpaceError(`${left}, and ${megabytes(reserveBytes)} are kept in reserve`, {
    available: free,
    hint: 'free space with imgtool store gc or imgtool rmi, or lower the reserve with --reserve',
  });
}
