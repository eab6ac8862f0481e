import { setTimeout as sleep } from 'node:timers/promises';
import { DiskSpaceError } from '../../errors.js';
import type { SpaceReport } from '../../snapshot/index.js';
import type { OperationDeps } from '../deps.js';
import { isForWantOfRoom } from '../store/index.js';
import { bytesToFetch, bytesUnpacked, type PulledLayer } from './look-up-image.js';
import type { LayerPlan } from './unpack-layers.js';

/** The default reserve: this, or half of the room if there is less than twice as much. */
const USUAL_BYTES = 2 ** 30;
/** Of a reserve of 1 GiB, metadata keeps 32 MiB. */
const METADATA_SHARE = 32;
/** The more room is left, the later the next check: no disk fills faster than this. Bytes per millisecond. */
const FASTEST = 4e6;
const [SHORTEST_MS, LONGEST_MS] = [10, 500] as const;

interface Reserve {
  /** Bytes to leave free; undefined: 1 GiB, or half of the room when there is less than 2 GiB. 0: all may be used. */
  readonly reserveBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** Bytes that stay free. */
interface Limits {
  readonly data: number;
  readonly metadata: number;
}

/**
 * Does `work`, which writes to the store, and aborts it as soon as less than the reserve is left, whichever process writes.
 * Does not start it if less is left already. If it fails for want of room, what it removed is free again before this
 * rejects. Throws DiskSpaceError, and as `work` does.
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
    // What failed counts, not that waiting failed too.
    await snapshots.settleSpace(signal).catch(() => undefined);
    throw full.signal.aborted && !signal.aborted ? full.signal.reason : error;
  } finally {
    ended.abort();
    await watching;
  }
}

/** What can be written until the reserve is all that is left, bytes. */
export function roomAbove({ dataFree, backingFree = Infinity }: SpaceReport, reserveBytes: number): number {
  return Math.max(0, Math.min(dataFree, backingFree) - reserveBytes);
}

/**
 * Measures the room; when there is less than `needed` bytes above the reserve, again after btrfs has freed what was deleted
 * just before. It does not flush to a disk below that is full: the pool would turn read-only.
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

/** Throws DiskSpaceError when there is not room enough to fetch and unpack what is missing, `reserveBytes` left over. */
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

/** The bytes to keep free. Throws DiskSpaceError when less than `reserveBytes` is free. */
async function startLimits(
  snapshots: OperationDeps['snapshots'],
  reserveBytes: number | undefined,
  signal: AbortSignal,
): Promise<Limits> {
  const space = await spaceFor(snapshots, 1, { reserveBytes: reserveBytes ?? 0, signal });
  const data = reserveBytes ?? Math.min(USUAL_BYTES, roomAbove(space, 0) / 2);
  // Small file systems have little room for metadata from the start.
  const limits = { data, metadata: Math.min(data / METADATA_SHARE, space.metadataFree / 2) };
  if (roomAbove(space, data) === 0) throw shortageError(space, limits);
  return limits;
}

/** Checks until `signal` is aborted; resolves earlier with the error. It never flushes: that would wait for the writer. */
async function watch(
  snapshots: OperationDeps['snapshots'],
  limits: Limits,
  signal: AbortSignal,
): Promise<DiskSpaceError | undefined> {
  while (!signal.aborted) {
    // A store that cannot be measured fails the work by itself.
    const space = await snapshots.space().catch(() => undefined);
    if (space === undefined) return undefined;
    // A file takes little metadata, so that fills slowly.
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
