import { closeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import {
  AT_FDCWD,
  BLOCK_GROUP_METADATA,
  OPEN_DIRECTORY,
  filesystemInfo,
  openAt,
  spaceInfo,
  type FilesystemInfo,
  type SpaceInfo,
} from '../sys/index.js';
import type { SpaceReport } from './types.js';

/** Measures the room on the btrfs that `root` lies on; `poolFile`: the file that carries it. Throws SyscallError. */
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
  const whole = await statfs(root);
  const backing = poolFile === undefined ? undefined : await statfs(poolFile);
  return {
    total: whole.blocks * whole.bsize,
    dataFree: whole.bavail * whole.bsize,
    metadataFree: metadataFree(spaces, info),
    backingFree: backing === undefined ? undefined : backing.bavail * backing.bsize,
  };
}

/** Free inside the metadata chunks, less what btrfs reserves for itself, and what new chunks could take. */
function metadataFree(spaces: readonly SpaceInfo[], info: FilesystemInfo): number {
  const reserve = spaces.filter((space) => space.globalReserve).reduce((sum, space) => sum + space.total, 0);
  const metadata = spaces.filter((space) => !space.globalReserve && (space.kind & BLOCK_GROUP_METADATA) !== 0n);
  const inChunks = metadata.reduce((sum, space) => sum + space.total - space.used, 0);
  const copies = metadata[0]?.copies ?? 1;
  return Math.max(0, inChunks - reserve) + Math.floor(Math.max(0, info.deviceBytes - info.allocatedBytes) / copies);
}
