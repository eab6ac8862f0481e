import { DiskSpaceError } from '../../errors.js';
import type { OperationDeps } from '../deps.js';
import { roomAbove, spaceFor } from './keep-reserve.js';
import { bytesToFetch, bytesUnpacked, type PulledLayer } from './look-up-image.js';
import type { LayerStep } from './unpack-layers.js';

/** Throws DiskSpaceError when there is not room enough to fetch and unpack what is missing, `reserveBytes` left over. */
export async function requireSpace(
  deps: Pick<OperationDeps, 'snapshots'>,
  missing: readonly Pick<LayerStep, 'blob'>[],
  states: readonly PulledLayer[],
  { reserveBytes, signal }: { readonly reserveBytes: number; readonly signal: AbortSignal },
): Promise<void> {
  if (missing.length === 0) return;
  const needed = bytesToFetch(states) + bytesUnpacked(missing);
  const space = await spaceFor(deps.snapshots, needed, { reserveBytes, signal });
  const available = roomAbove(space, reserveBytes);
  if (needed <= available) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  throw new DiskSpaceError(
    `the image needs about ${megabytes(needed)}, the store has ${megabytes(available)} beside the reserve of ${megabytes(reserveBytes)}`,
    { needed, available, hint: 'free space with imgtool store gc or imgtool rmi, or lower the reserve with --reserve' },
  );
}
