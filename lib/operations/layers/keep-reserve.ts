import { setTimeout as sleep } from 'node:timers/promises';
import { DiskSpaceError } from '../../errors.js';
import type { SpaceReport } from '../../snapshot/index.js';
import type { OperationDeps } from '../deps.js';
import { isForWantOfRoom } from '../store/index.js';
import { bytesToFetch, bytesUnpacked, type PulledLayer } from './look-up-image.js';
import type { LayerPlan } from './unpack-layers.js';

/** The default reserve: this, or half of the free space if there is less than twice as much. */
const USUAL_BYTES = 2 ** 30;
/** Metadata keeps a 32nd of the reserve. */
const METADATA_SHARE = 32;
/** The interval between checks grows with the free space: no disk fills faster than this. Bytes per millisecond. */
const FASTEST = 4e6;
const [SHORTEST_MS, LONGEST_MS] = [10, 500] as const;

interface Reserve {
  /** Bytes to keep free. Default: 1 GiB, or half of the free space if there is less than 2 GiB. 0: use everything. */
  readonly reserveBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** Bytes to keep free. */
interface Limits {
  readonly data: number;
  readonly metadata: number;
}

/**
 * Runs `work`, which writes to the store, and aborts it when any process has used up the free space down to the
 * reserve. Does not start it if less is free already. If it fails because the disk is full, waits until the space it
 * has freed is available. Throws DiskSpaceError, and as `work`.
 */
export async function keepingReserve<T>(
  { snapshots }: Pick<OperationDeps, 'snapshots'>,
  { reserveBytes, signal }: Reserve,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limits = reserveBytes === 0 ? undefined : await startLimits(snapshots, reserveBytes, signal);
  const [full, ended] = [new AbortController(), new AbortController()];
  const watching = limits && watch(snapshots, limits, AbortSignal.any([ended.signal, signal]));
  void watching?.then((shortage) => shortage && full.abort(shortage));
  try {
    return await work(AbortSignal.any([signal, full.signal]));
  } catch (error) {
    if (!full.signal.aborted && !isForWantOfRoom(error)) throw error;
    // The original failure matters, not that waiting failed too.
    await snapshots.settleSpace(signal).catch(() => undefined);
    throw full.signal.aborted && !signal.aborted ? full.signal.reason : error;
  } finally {
    ended.abort();
    await watching;
  }
}

/** Free bytes in excess of the reserve. */
export function roomAbove({ dataFree, backingFree = Infinity }: SpaceReport, reserveBytes: number): number {
  return Math.max(0, Math.min(dataFree, backingFree) - reserveBytes);
}

/**
 * Measures the free space. If there is less than `needed` bytes above the reserve, waits until btrfs has freed deleted
 * subvolumes and measures again. Does not flush to a full backing disk, because the pool would turn read-only.
 */
async function spaceFor(
  snapshots: OperationDeps['snapshots'],
  needed: number,
  { reserveBytes, signal }: { readonly reserveBytes: number; readonly signal: AbortSignal },
): Promise<SpaceReport> {
  const space = await snapshots.space();
  const { backingFree = Infinity } = space;
  if (needed <= roomAbove(space, reserveBytes) || needed > backingFree - reserveBytes) return space;
  await snapshots.settleSpace(signal);
  return snapshots.space();
}

/**
 * Throws DiskSpaceError when there is not enough space to fetch and unpack what is missing and to keep `reserveBytes`
 * free.
 */
export async function requireSpace(
  deps: Pick<OperationDeps, 'snapshots'>,
  missing: readonly Pick<LayerPlan, 'blob'>[],
  states: readonly PulledLayer[],
  { reserveBytes, signal }: { readonly reserveBytes: number; readonly signal: AbortSignal },
): Promise<void> {
  if (missing.length === 0) return;
  const needed = bytesToFetch(states) + bytesUnpacked(missing);
  const space = await spaceFor(deps.snapshots, needed, { reserveBytes, signal });
  const available = roomAbove(space, reserveBytes);
  if (needed <= available) return;
  const atLeast = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  throw new DiskSpaceError(
    `the image needs about ${atLeast(needed)}, the store has ${atLeast(available)} beside the reserve of ${atLeast(reserveBytes)}`,
    { needed, available, hint: 'free space with imgtool store gc or imgtool rmi, or lower the reserve with --reserve' },
  );
}

/** Returns the number of bytes to keep free. Throws DiskSpaceError when less than `reserveBytes` is free. */
async function startLimits(
  snapshots: OperationDeps['snapshots'],
  reserveBytes: number | undefined,
  signal: AbortSignal,
): Promise<Limits> {
  const space = await spaceFor(snapshots, 1, { reserveBytes: reserveBytes ?? 0, signal });
  const data = reserveBytes ?? Math.min(USUAL_BYTES, roomAbove(space, 0) / 2);
  // Small file systems have little space for metadata from the start.
  const limits = { data, metadata: Math.min(data / METADATA_SHARE, space.metadataFree / 2) };
  if (roomAbove(space, data) === 0) throw shortageError(space, limits);
  return limits;
}

/**
 * Checks the free space until `signal` is aborted. Resolves early with the error. Never flushes, which would wait for
 * the writer.
 */
async function watch(
  snapshots: OperationDeps['snapshots'],
  limits: Limits,
  signal: AbortSignal,
): Promise<DiskSpaceError | undefined> {
  while (!signal.aborted) {
    // If measuring fails, the work fails by itself.
    const space = await snapshots.space().catch(() => undefined);
    if (space === undefined) return undefined;
    // Files use little metadata, so its space shrinks slowly.
    const room = Math.min(roomAbove(space, limits.data), (space.metadataFree - limits.metadata) * METADATA_SHARE);
    if (room <= 0) return shortageError(space, limits);
    const pause = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, room / FASTEST));
    await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined);
  }
  return undefined;
}

function shortageError(
  { dataFree, backingFree = Infinity, metadataFree }: SpaceReport,
  limits: Limits,
): DiskSpaceError {
  const megabytes = (bytes: number): string => `${Math.floor(bytes / 1e6)} MB`;
  const free = Math.min(dataFree, backingFree);
  const isMetadata = free > limits.data;
  const isBelow = !isMetadata && backingFree < dataFree;
  const what = `${isBelow ? 'the disk that carries the pool' : 'the store'} has ${megabytes(isMetadata ? metadataFree : free)} left`;
  const reserve = `${megabytes(isMetadata ? limits.metadata : limits.data)} are kept in reserve`;
  return new DiskSpaceError(`${what}${isMetadata ? ' for metadata' : ''}, and ${reserve}`, {
    available: free,
    hint: isBelow
      ? 'free space on that disk, or lower the reserve with --reserve'
      : 'free space with imgtool store gc or imgtool rmi, or lower the reserve with --reserve',
  });
}
