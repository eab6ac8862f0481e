import { closeSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AT_FDCWD,
  BLOCK_GROUP_METADATA,
  OPEN_DIRECTORY,
  filesystemInfo,
  isFreeingSubvolumes,
  openAt,
  spaceInfo,
  syncBtrfs,
  type FilesystemInfo,
  type SpaceInfo,
} from '../sys/index.js';
import type { SpaceReport } from './types.js';

const SETTLE_MS = 60_000;
const POLL_MS = 50;

/** Measures the space on the btrfs that contains `root`. `poolFile`: the file that backs it. Throws SyscallError. */
export async function measureSpace(root: string, poolFile: string | undefined): Promise<SpaceReport> {
  const fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  let spaces: SpaceInfo[];
  let info: FilesystemInfo;
  try {
    spaces = spaceInfo(fd);
    info = filesystemInfo(fd);
  } finally {
    closeSync(fd);
  }
  const pending = await pendingBytes(info.fsid);
  const whole = await statfs(root);
  const backing = poolFile === undefined ? undefined : await statfs(poolFile);
  return {
    total: whole.blocks * whole.bsize,
    dataFree: Math.max(0, whole.bavail * whole.bsize - pending),
    metadataFree: metadataFree(spaces, info),
    backingFree: backing === undefined ? undefined : backing.bavail * backing.bsize,
  };
}

/** File contents in memory without allocated space, which btrfs counts as free. 0 when sysfs does not report it. Bytes. */
async function pendingBytes(fsid: string): Promise<number> {
  const uuid = fsid.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  const text = await readFile(`/sys/fs/btrfs/${uuid}/allocation/data/bytes_may_use`, 'utf8').catch(() => '0');
  return Number(text.trim()) || 0;
}

/** Waits until the deleted subvolumes on the btrfs of `root` are freed, for at most one minute. Throws AbortError. */
export async function settleSpace(root: string, signal: AbortSignal): Promise<void> {
  const fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const end = Date.now() + SETTLE_MS;
    do {
      // Wakes the thread that frees them, and releases space pinned by the last transaction.
      await syncBtrfs(fd);
      if (!isFreeingSubvolumes(fd)) return await syncBtrfs(fd);
      await sleep(POLL_MS, undefined, { signal });
    } while (Date.now() < end);
  } finally {
    closeSync(fd);
  }
}

/** Free space in metadata chunks without btrfs's own reserve, plus the space for new chunks. Bytes. */
function metadataFree(spaces: readonly SpaceInfo[], info: FilesystemInfo): number {
  const reserve = spaces.filter((space) => space.globalReserve).reduce((sum, space) => sum + space.total, 0);
  const metadata = spaces.filter((space) => !space.globalReserve && (space.kind & BLOCK_GROUP_METADATA) !== 0n);
  const inChunks = metadata.reduce((sum, space) => sum + space.total - space.used, 0);
  const copies = metadata[0]?.copies ?? 1;
  return Math.max(0, inChunks - reserve) + Math.floor(Math.max(0, info.deviceBytes - info.allocatedBytes) / copies);
}
