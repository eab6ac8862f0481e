import { ioctl, ioctlAsync } from './ioctl.js';

/** Space and transactions of a whole btrfs, by ioctl (linux/btrfs.h). `fd` is any descriptor on the file system. */

const REQUEST = {
  spaceInfo: { name: 'BTRFS_IOC_SPACE_INFO', number: 0xc0109414 },
  fsInfo: { name: 'BTRFS_IOC_FS_INFO', number: 0x8400941f },
  devInfo: { name: 'BTRFS_IOC_DEV_INFO', number: 0xd000941e },
  sync: { name: 'BTRFS_IOC_SYNC', number: 0x9408 },
} as const;

/** Block group flags: the kind of space, and its profile. */
export const BLOCK_GROUP_DATA = 1n;
const BLOCK_GROUP_SYSTEM = 2n;
export const BLOCK_GROUP_METADATA = 4n;
const BLOCK_GROUP_TWO_COPIES = (1n << 4n) | (1n << 5n) | (1n << 6n);
const BLOCK_GROUP_THREE_COPIES = 1n << 9n;
const BLOCK_GROUP_FOUR_COPIES = 1n << 10n;
const GLOBAL_RESERVE = 1n << 49n;

/** Space allocated to one kind of block group, in bytes as seen by users (without copies). */
export interface SpaceInfo {
  /** One of the BLOCK_GROUP_ flags, or several for a mixed block group. */
  readonly kind: bigint;
  /** The number of copies of each byte on the devices: 2 for DUP, RAID1, RAID10. */
  readonly copies: number;
  readonly total: number;
  readonly used: number;
  /** True for the entry of the metadata that btrfs reserves for itself. */
  readonly globalReserve: boolean;
}

/** How the space is divided among data, metadata and system. */
export function spaceInfo(fd: number): SpaceInfo[] {
  const count = Buffer.alloc(16);
  ioctl(fd, REQUEST.spaceInfo, count);
  const slots = Number(count.readBigUInt64LE(8)) + 4;
  const list = Buffer.alloc(16 + slots * 24);
  list.writeBigUInt64LE(BigInt(slots), 0);
  ioctl(fd, REQUEST.spaceInfo, list);
  const found = Number(list.readBigUInt64LE(8));
  return Array.from({ length: Math.min(found, slots) }, (_, index) => {
    const at = 16 + index * 24;
    const flags = list.readBigUInt64LE(at);
    return {
      kind: flags & (BLOCK_GROUP_DATA | BLOCK_GROUP_SYSTEM | BLOCK_GROUP_METADATA),
      copies: copiesOf(flags),
      total: Number(list.readBigUInt64LE(at + 8)),
      used: Number(list.readBigUInt64LE(at + 16)),
      globalReserve: (flags & GLOBAL_RESERVE) !== 0n,
    };
  });
}

function copiesOf(flags: bigint): number {
  if ((flags & BLOCK_GROUP_FOUR_COPIES) !== 0n) return 4;
  if ((flags & BLOCK_GROUP_THREE_COPIES) !== 0n) return 3;
  return (flags & BLOCK_GROUP_TWO_COPIES) === 0n ? 1 : 2;
}

/** Facts about a whole btrfs. */
export interface FilesystemInfo {
  /** 32 hex digits. */
  readonly fsid: string;
  /** Total size of all devices, and the part allocated to block groups. Bytes. */
  readonly deviceBytes: number;
  readonly allocatedBytes: number;
}

/** Identity and devices of the file system. */
export function filesystemInfo(fd: number): FilesystemInfo {
  const info = Buffer.alloc(1024);
  ioctl(fd, REQUEST.fsInfo, info);
  const maxId = info.readBigUInt64LE(0);
  let deviceBytes = 0;
  let allocatedBytes = 0;
  for (let id = 1n; id <= maxId; id++) {
    const device = Buffer.alloc(4096);
    device.writeBigUInt64LE(id, 0);
    try {
      ioctl(fd, REQUEST.devInfo, device);
    } catch {
      // IDs of removed devices leave gaps.
      continue;
    }
    allocatedBytes += Number(device.readBigUInt64LE(24));
    deviceBytes += Number(device.readBigUInt64LE(32));
  }
  return { fsid: info.toString('hex', 16, 32), deviceBytes, allocatedBytes };
}

/** Writes everything to disk like syncfs(2), and wakes the thread that frees the space of deleted subvolumes. */
export async function syncBtrfs(fd: number): Promise<void> {
  await ioctlAsync(fd, REQUEST.sync, Buffer.alloc(8));
}
