import { DiskSpaceError } from '../errors.js';
import { formatSize } from '../util/index.js';
import type { SpaceReport } from './types.js';

/** What is always kept free, bytes: a btrfs that is nearly full gets slow, then stuck. */
export const DEFAULT_RESERVE = 2 ** 30;

/** Metadata of one file or directory, bytes: inode, names, extents and checksums, or a small file's own content. */
const METADATA_PER_ENTRY = 2048;

/**
 * Refuses early what would fill the store. `needBytes`: blobs and unpacked data to come; `needEntries`: files to come.
 * Throws DiskSpaceError with both figures.
 */
export function checkSpace(
  report: SpaceReport,
  need: { readonly needBytes: number; readonly needEntries?: number; readonly reserve?: number },
): void {
  const reserve = need.reserve ?? DEFAULT_RESERVE;
  refuseBeyond('in the store', need.needBytes, report.dataFree, reserve);
  refuseBeyond("for the store's metadata", (need.needEntries ?? 0) * METADATA_PER_ENTRY, report.metadataFree, 0);
  if (report.backingFree !== undefined)
    refuseBeyond("on the file system under the store's pool", need.needBytes, report.backingFree, reserve);
}

function refuseBeyond(where: string, needed: number, free: number, reserve: number): void {
  const available = Math.max(0, free - reserve);
  if (needed <= available) return;
  const kept = reserve === 0 ? '' : ` (${formatSize(free)} free, ${formatSize(reserve)} of it kept in reserve)`;
  throw new DiskSpaceError(
    `not enough space ${where}: ${formatSize(needed)} needed, ${formatSize(available)} available${kept}`,
    {
      needed,
      available,
      hint: 'imgtool rmi IMAGE and imgtool rm CONTAINER free space; --reserve says how much is kept free',
    },
  );
}
