import { ioctl } from './ioctl.js';

/** Reads the trees of a btrfs with BTRFS_IOC_TREE_SEARCH_V2 (linux/btrfs_tree.h). Requires CAP_SYS_ADMIN. */

const TREE_SEARCH = { name: 'BTRFS_IOC_TREE_SEARCH_V2', number: 0xc0709411 };
const HEAD = 112;
const ROOM = 128 * 1024;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;
const [ROOT_TREE, UUID_TREE] = [1n, 9n];
const [INODE_ITEM, INODE_REF, INODE_EXTREF, XATTR_ITEM] = [1, 12, 13, 24] as const;
const [ORPHAN_ITEM, EXTENT_DATA, ROOT_ITEM, UUID_SUBVOLUME] = [48, 108, 132, 251] as const;
const ORPHAN_OBJECT_ID = MAX_U64 - 4n;
/** Offsets of parent_uuid and otransid in struct btrfs_root_item. */
const [ROOT_PARENT_UUID, ROOT_OTRANSID] = [263, 303];

interface TreeKey {
  readonly objectId: bigint;
  readonly type: number;
  readonly offset: bigint;
}

interface TreeItem {
  readonly key: TreeKey;
  readonly data: Buffer;
}

/** One name of an inode, with the inode number of its directory. */
interface InodeName {
  readonly directory: bigint;
  readonly name: Buffer;
}

/** All names of inode `ino` in the subvolume that contains `fd`; one for a directory, none for a subvolume's root. */
export function inodeNames(fd: number, ino: bigint): InodeName[] {
  const names: InodeName[] = [];
  const first = { objectId: ino, type: INODE_REF, offset: 0n };
  const last = { objectId: ino, type: INODE_EXTREF, offset: MAX_U64 };
  for (const { key, data } of searchTree(fd, 0n, first, last)) {
    const extended = key.type === INODE_EXTREF;
    const head = extended ? 18 : 10;
    for (let at = 0; at + head <= data.length;) {
      const length = data.readUInt16LE(at + head - 2);
      const directory = extended ? data.readBigUInt64LE(at) : key.offset;
      const name = Buffer.from(data.subarray(at + head, at + head + length));
      if (directory !== ino) names.push({ directory, name });
      at += head + length;
    }
  }
  return names;
}

/** The origin of a subvolume. */
export interface SubvolumeOrigin {
  /** UUID (32 hex digits) of the subvolume of which it is a snapshot. */
  readonly parentUuid: string | undefined;
  /** Transaction of its creation. */
  readonly originTransaction: bigint;
}

/** The origin of the subvolume with this UUID (32 hex digits); undefined when it does not exist or was deleted. */
export function subvolumeOrigin(fd: number, uuid: string): SubvolumeOrigin | undefined {
  const bytes = Buffer.from(uuid, 'hex');
  const key = { objectId: bytes.readBigUInt64LE(0), type: UUID_SUBVOLUME, offset: bytes.readBigUInt64LE(8) };
  const [entry] = searchTree(fd, UUID_TREE, key, key);
  if (entry === undefined) return undefined;
  const first = { objectId: entry.data.readBigUInt64LE(0), type: ROOT_ITEM, offset: 0n };
  const [root] = searchTree(fd, ROOT_TREE, first, { ...first, offset: MAX_U64 });
  if (root === undefined) return undefined;
  const parent = root.data.toString('hex', ROOT_PARENT_UUID, ROOT_PARENT_UUID + 16);
  return {
    parentUuid: /^0*$/.test(parent) ? undefined : parent,
    originTransaction: root.data.readBigUInt64LE(ROOT_OTRANSID),
  };
}

/**
 * Bytes of file contents written after `transaction` to the subvolume that contains `fd`, as far as they have reached
 * the tree. Skips older parts of the tree.
 */
export function bytesWrittenAfter(fd: number, transaction: bigint): number {
  const first = { objectId: 0n, type: 0, offset: 0n };
  const last = { objectId: MAX_U64, type: 255, offset: MAX_U64 };
  let bytes = 0;
  for (const { data } of searchTree(fd, 0n, first, last, { oldest: transaction + 1n, only: [EXTENT_DATA] })) {
    // struct btrfs_file_extent_item. The leaf may also contain older extents, and holes have no place on disk.
    if (data.readBigUInt64LE(0) <= transaction) continue;
    const isInline = data.readUInt8(20) === 0;
    if (isInline) bytes += Number(data.readBigUInt64LE(8));
    else if (data.readBigUInt64LE(21) !== 0n) bytes += Number(data.readBigUInt64LE(45));
  }
  return bytes;
}

/** True while deleted subvolumes still occupy space: a btrfs thread frees them one by one. */
export function isFreeingSubvolumes(fd: number): boolean {
  const first = { objectId: ORPHAN_OBJECT_ID, type: ORPHAN_ITEM, offset: 0n };
  return searchTree(fd, ROOT_TREE, first, { ...first, offset: MAX_U64 }).next().done !== true;
}

/** Offsets in struct btrfs_inode_item. */
const [INODE_LINKS, INODE_MODE, INODE_FLAGS] = [40, 52, 64];

/** The facts about an inode that stat(2) and tars do not have. */
export interface InodeTraits {
  readonly ino: bigint;
  readonly links: number;
  /** Including type bits. */
  readonly mode: number;
  /** BTRFS_INODE_* in the lower 32 bits, BTRFS_INODE_RO_* in the upper ones. */
  readonly flags: bigint;
  /** True when it has a `btrfs.*` attribute. */
  readonly hasProperty: boolean;
}

/** Traits of the inodes that changed after `transaction` in the subvolume that contains `fd` (and of their neighbours in the tree). */
export function* inodeTraitsAfter(fd: number, transaction: bigint): Generator<InodeTraits, void> {
  const first = { objectId: 0n, type: 0, offset: 0n };
  const last = { objectId: MAX_U64, type: 255, offset: MAX_U64 };
  let inode: InodeTraits | undefined;
  for (const { key, data } of searchTree(fd, 0n, first, last, {
    oldest: transaction + 1n,
    only: [INODE_ITEM, XATTR_ITEM],
  })) {
    if (key.type === INODE_ITEM) {
      if (inode !== undefined) yield inode;
      inode = {
        ino: key.objectId,
        links: data.readUInt32LE(INODE_LINKS),
        mode: data.readUInt32LE(INODE_MODE),
        flags: data.readBigUInt64LE(INODE_FLAGS),
        hasProperty: false,
      };
      // A new property rewrites its inode, so an inode that is not in the results is an old one.
    } else if (key.type === XATTR_ITEM && inode?.ino === key.objectId && holdsProperty(data)) {
      inode = { ...inode, hasProperty: true };
    }
  }
  if (inode !== undefined) yield inode;
}

/** True when an xattr item, which contains all attributes with the same name hash, contains one of btrfs's own. */
function holdsProperty(data: Buffer): boolean {
  // struct btrfs_dir_item: a key, a transaction, data_len, name_len, type, then name and data.
  for (let at = 0; at + 30 <= data.length;) {
    const [dataLength, nameLength] = [data.readUInt16LE(at + 25), data.readUInt16LE(at + 27)];
    if (data.toString('latin1', at + 30, at + 36) === 'btrfs.') return true;
    at += 30 + dataLength + nameLength;
  }
  return false;
}

/** Shared by all searches. */
let buffer: Buffer | undefined;

/** The items of a tree in key order, from parts written in transaction `oldest` or later; only the types in `only`, if given. */
function* searchTree(
  fd: number,
  tree: bigint,
  first: TreeKey,
  last: TreeKey,
  { oldest = 0n, only }: { readonly oldest?: bigint; readonly only?: readonly number[] } = {},
): Generator<TreeItem, void> {
  let from = first;
  const search = (buffer ??= Buffer.allocUnsafeSlow(HEAD + ROOM));
  for (;;) {
    search.fill(0, 0, HEAD);
    const limits = [tree, from.objectId, last.objectId, from.offset, last.offset, oldest, MAX_U64];
    limits.forEach((limit, index) => search.writeBigUInt64LE(limit, index * 8));
    search.writeUInt32LE(from.type, 56);
    search.writeUInt32LE(last.type, 60);
    search.writeUInt32LE(0xffff_ffff, 64);
    search.writeBigUInt64LE(BigInt(ROOM), 104);
    ioctl(fd, TREE_SEARCH, search);
    const count = search.readUInt32LE(64);
    if (count === 0) return;
    // Frees the shared buffer, because the consumer may run another search.
    const found = Buffer.from(search);
    const items: TreeItem[] = [];
    let at = HEAD;
    for (let item = 1; item <= count; item++) {
      const [type, length] = [search.readUInt32LE(at + 24), search.readUInt32LE(at + 28)];
      // Most items of an unrestricted search are not needed, and reading their keys is expensive.
      const isWanted = only?.includes(type) ?? true;
      if (isWanted || item === count) {
        from = { objectId: search.readBigUInt64LE(at + 8), offset: search.readBigUInt64LE(at + 16), type };
        if (isWanted) items.push({ key: from, data: found.subarray(at + 32, at + 32 + length) });
      }
      at += 32 + length;
    }
    yield* items;
    if (from.offset === MAX_U64) return;
    from = { ...from, offset: from.offset + 1n };
    if (from.type > last.type || (from.type === last.type && from.offset > last.offset)) return;
  }
}
