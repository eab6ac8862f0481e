import { syscallError, type SysPath } from './errno.js';
import { ioctl, ioctlAsync } from './ioctl.js';
import * as libc from './libc.js';

/**
 * btrfs subvolumes by ioctl (linux/btrfs.h; the numbers are those of architectures with the generic ioctl encoding: x86,
 * arm, riscv, s390x). Names are one path component. Functions that commit a transaction wait for the disk and are
 * asynchronous.
 */

const REQUEST = {
  subvolCreate: { name: 'BTRFS_IOC_SUBVOL_CREATE_V2', number: 0x50009418 },
  snapCreate: { name: 'BTRFS_IOC_SNAP_CREATE_V2', number: 0x50009417 },
  snapDestroy: { name: 'BTRFS_IOC_SNAP_DESTROY_V2', number: 0x5000943f },
  getFlags: { name: 'BTRFS_IOC_SUBVOL_GETFLAGS', number: 0x80089419 },
  setFlags: { name: 'BTRFS_IOC_SUBVOL_SETFLAGS', number: 0x4008941a },
  getInfo: { name: 'BTRFS_IOC_GET_SUBVOL_INFO', number: 0x81f8943c },
  inoLookup: { name: 'BTRFS_IOC_INO_LOOKUP', number: 0xd0009412 },
  treeSearch: { name: 'BTRFS_IOC_TREE_SEARCH_V2', number: 0xc0709411 },
  send: { name: 'BTRFS_IOC_SEND', number: 0x40489426 },
} as const;

const SUBVOL_RDONLY = 2n;
const SUBVOL_SPEC_BY_ID = 16n;
const NAME_MAX = 255;
const ROOT_TREE = 1n;
const ROOT_REF_KEY = 156;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;

/** Inode number of every subvolume's root directory. */
export const SUBVOLUME_ROOT_INODE = 256n;

/** Creates an empty writable subvolume `name` in the directory `dir`, owned by root, with mode 0755 less umask. */
export async function createSubvolume(dir: number, name: SysPath): Promise<void> {
  await ioctlAsync(dir, REQUEST.subvolCreate, volumeArguments({ name }), name);
}

/** Creates a snapshot of the subvolume with the root `source`. Waits until the source's data is on disk. */
export async function snapshotSubvolume(
  source: number,
  dir: number,
  name: SysPath,
  options: { readonly readOnly: boolean },
): Promise<void> {
  const flags = options.readOnly ? SUBVOL_RDONLY : 0n;
  await ioctlAsync(dir, REQUEST.snapCreate, volumeArguments({ name, fd: source, flags }), name);
}

/**
 * Deletes the subvolume `name` in `dir`. Its space is freed in the background. Fails with ENOTEMPTY while it contains
 * other subvolumes.
 */
export async function destroySubvolume(dir: number, name: SysPath): Promise<void> {
  await ioctlAsync(dir, REQUEST.snapDestroy, volumeArguments({ name }), name);
}

/** Deletes a subvolume by its ID. `fd` is any descriptor on the same file system. */
export async function destroySubvolumeById(fd: number, id: bigint): Promise<void> {
  const argument = volumeArguments({ flags: SUBVOL_SPEC_BY_ID });
  argument.writeBigUInt64LE(id, 56);
  await ioctlAsync(fd, REQUEST.snapDestroy, argument, `subvolume ${id}`);
}

/** True when the subvolume with the root `fd` is read-only. */
export function isSubvolumeReadOnly(fd: number): boolean {
  const flags = Buffer.alloc(8);
  ioctl(fd, REQUEST.getFlags, flags);
  return (flags.readBigUInt64LE() & SUBVOL_RDONLY) !== 0n;
}

/** Sets or clears the read-only flag of a subvolume. A change commits a transaction. */
export async function setSubvolumeReadOnly(fd: number, readOnly: boolean): Promise<void> {
  if (isSubvolumeReadOnly(fd) === readOnly) return;
  const flags = Buffer.alloc(8);
  flags.writeBigUInt64LE(readOnly ? SUBVOL_RDONLY : 0n);
  await ioctlAsync(fd, REQUEST.setFlags, flags);
}

/** The kernel's facts about a subvolume. UUIDs have 32 hex digits; zero is undefined. */
export interface SubvolumeInfo {
  readonly id: bigint;
  /** The subvolume that contains it; 0 when it was deleted or is the top level. */
  readonly parentId: bigint;
  readonly readOnly: boolean;
  readonly uuid: string | undefined;
  /** UUID of the subvolume of which it is a snapshot. */
  readonly parentUuid: string | undefined;
  /** Transactions of the last change inside it and of its creation. */
  readonly changeTransaction: bigint;
  readonly originTransaction: bigint;
}

/** Facts about the subvolume that contains `fd`. */
export function subvolumeInfo(fd: number): SubvolumeInfo {
  const info = Buffer.alloc(504);
  ioctl(fd, REQUEST.getInfo, info);
  return {
    id: info.readBigUInt64LE(0),
    parentId: info.readBigUInt64LE(264),
    readOnly: (info.readBigUInt64LE(288) & 1n) !== 0n,
    uuid: uuidAt(info, 296),
    parentUuid: uuidAt(info, 312),
    changeTransaction: info.readBigUInt64LE(344),
    originTransaction: info.readBigUInt64LE(352),
  };
}

/** ID of the subvolume that contains `fd`. */
export function subvolumeId(fd: number): bigint {
  const lookup = Buffer.alloc(4096);
  lookup.writeBigUInt64LE(SUBVOLUME_ROOT_INODE, 8);
  ioctl(fd, REQUEST.inoLookup, lookup);
  return lookup.readBigUInt64LE(0);
}

/** A subvolume nested in another one. */
export interface NestedSubvolume {
  readonly id: bigint;
  /** Its direct parent. */
  readonly parentId: bigint;
  /** Inode number of its directory in the parent. */
  readonly directory: bigint;
  readonly name: Buffer;
}

/**
 * All subvolumes nested in subvolume `id`, at any depth, parents before their children (so delete them from the end).
 * `fd` is any descriptor on the file system. Requires CAP_SYS_ADMIN.
 */
export function listNestedSubvolumes(fd: number, id: bigint): NestedSubvolume[] {
  const found: NestedSubvolume[] = [];
  const pending = [id];
  for (let parent = pending.pop(); parent !== undefined; parent = pending.pop()) {
    for (const child of listChildSubvolumes(fd, parent)) {
      found.push(child);
      pending.push(child.id);
    }
  }
  return found;
}

/** The subvolumes directly inside subvolume `id`, by ID. */
function listChildSubvolumes(fd: number, id: bigint): NestedSubvolume[] {
  const found: NestedSubvolume[] = [];
  const headSize = 112;
  const search = Buffer.alloc(headSize + 65536);
  for (let from = 0n; ;) {
    search.fill(0, 0, headSize);
    const limits = [ROOT_TREE, id, id, from, MAX_U64, 0n, MAX_U64];
    limits.forEach((limit, index) => search.writeBigUInt64LE(limit, index * 8));
    search.writeUInt32LE(ROOT_REF_KEY, 56);
    search.writeUInt32LE(ROOT_REF_KEY, 60);
    search.writeUInt32LE(0xffff_ffff, 64);
    search.writeBigUInt64LE(BigInt(search.length - headSize), 104);
    ioctl(fd, REQUEST.treeSearch, search);
    const count = search.readUInt32LE(64);
    if (count === 0) return found;
    let at = headSize;
    for (let item = 0; item < count; item++) {
      const child = search.readBigUInt64LE(at + 16);
      const length = search.readUInt32LE(at + 28);
      const data = at + 32;
      // struct btrfs_root_ref: dirid, sequence, name_len, then the name.
      const nameLength = search.readUInt16LE(data + 16);
      found.push({
        id: child,
        parentId: id,
        directory: search.readBigUInt64LE(data),
        name: Buffer.from(search.subarray(data + 18, data + 18 + nameLength)),
      });
      from = child + 1n;
      at = data + length;
    }
  }
}

/** Path of directory `inode` in subvolume `id`, relative to its root, ending in `/` (empty for the root itself). */
export function directoryPath(fd: number, id: bigint, inode: bigint): Buffer {
  const lookup = Buffer.alloc(4096);
  lookup.writeBigUInt64LE(id, 0);
  lookup.writeBigUInt64LE(inode, 8);
  ioctl(fd, REQUEST.inoLookup, lookup);
  return Buffer.from(lookup.subarray(16, lookup.indexOf(0, 16)));
}

/** BTRFS_SEND_FLAG_NO_FILE_DATA: UPDATE_EXTENT commands instead of the data. */
export const SEND_NO_FILE_DATA = 1n;

/**
 * Writes the send stream of a read-only subvolume to `outFd` and resolves when it is complete. Runs on a thread of the
 * pool, so `outFd` may be a pipe read by this process; an `openMemoryFile()` needs no reader. Cannot be cancelled.
 */
export async function sendSubvolume(options: {
  /** Root directory of the read-only subvolume. */
  readonly fd: number;
  /** ID of the read-only subvolume to compare with; undefined: a full stream. */
  readonly parentRootId: bigint | undefined;
  /** IDs of read-only subvolumes whose extents may be referenced; for an incremental stream, include the parent. */
  readonly cloneSources: readonly bigint[];
  readonly outFd: number;
  readonly flags: bigint;
}): Promise<void> {
  // The kernel follows a pointer to the list of clone sources, so the list must not move before the call returns.
  const sources = new BigUint64Array(new ArrayBuffer(8 * Math.max(1, options.cloneSources.length)));
  sources.set(options.cloneSources);
  const argument = Buffer.alloc(72);
  argument.writeBigInt64LE(BigInt(options.outFd), 0);
  argument.writeBigUInt64LE(BigInt(options.cloneSources.length), 8);
  argument.writeBigUInt64LE(libc.addressOf(sources), 16);
  argument.writeBigUInt64LE(options.parentRootId ?? 0n, 24);
  argument.writeBigUInt64LE(options.flags, 32);
  await ioctlAsync(options.fd, REQUEST.send, argument);
  sources.fill(0n);
}

/** Creates an unnamed file in memory for reading and writing. The caller closes the descriptor. `name` is only for debugging. */
export function openMemoryFile(name: string): number {
  const MFD_CLOEXEC = 1;
  const fd = libc.memfd_create(libc.cString(name), MFD_CLOEXEC);
  if (fd < 0) throw syscallError('memfd_create', name);
  return fd;
}

function volumeArguments(options: { name?: SysPath; fd?: number; flags?: bigint }): Buffer {
  const argument = Buffer.alloc(4096);
  argument.writeBigInt64LE(BigInt(options.fd ?? 0), 0);
  argument.writeBigUInt64LE(options.flags ?? 0n, 16);
  if (options.name !== undefined) {
    const name = libc.cString(options.name).subarray(0, -1);
    if (name.length > NAME_MAX) throw syscallError('btrfs', options.name, 'ENAMETOOLONG');
    argument.set(name, 56);
  }
  return argument;
}

function uuidAt(buffer: Buffer, offset: number): string | undefined {
  const uuid = buffer.toString('hex', offset, offset + 16);
  return /^0+$/.test(uuid) ? undefined : uuid;
}
