import { randomBytes } from 'node:crypto';
import { closeSync, constants } from 'node:fs';
import {
  copyContent,
  fromByteString,
  openParent,
  readMetadata,
  runInSlices,
  setFileAttributes,
  type ByteString,
} from '../rootfs/index.js';
import {
  AT_FDCWD,
  fdPath,
  getInodeFlags,
  inodeTraitsAfter,
  linkAt,
  listXattrs,
  NO_COPY_ON_WRITE,
  OPEN_DIRECTORY,
  openAt,
  removeXattr,
  renameAt,
  setInodeFlags,
  setTimesAt,
  statAt,
  SUBVOLUME_ROOT_INODE,
  unlinkAt,
  VERITY,
  type InodeTraits,
} from '../sys/index.js';
import { InodePaths } from './inode-paths.js';

const { S_IFMT, S_IFREG, S_IFDIR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** BTRFS_INODE_NODATACOW, and BTRFS_INODE_RO_VERITY in the upper half: flags that can only be removed by creating a new file. */
const STUCK = 2n | (1n << 32n);
/** BTRFS_INODE_COMPRESS. */
const COMPRESS = 2048n;
/**
 * SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME, DIRSYNC. Excludes NOCOMPRESS, which btrfs sets itself for incompressible
 * files, and NODATASUM, which depends on NODATACOW or a mount option.
 */
const SETTABLE = 32n | 64n | 128n | 256n | 512n | 1024n | COMPRESS;

/** The flags and properties that all files of a store may have, taken from the attributes of its own directories. */
interface Ordinary {
  readonly flags: bigint;
  readonly properties: boolean;
}

/** The flags and properties that new subvolumes inherit from the directory `fd`. */
export function ordinaryTraits(fd: number): Ordinary {
  const properties = listXattrs(fdPath(fd, '.')).some((name) => name.toString('latin1').startsWith('btrfs.'));
  const noCow = (getInodeFlags(fd) & NO_COPY_ON_WRITE) !== 0;
  return { flags: (noCow ? 2n : 0n) | (properties ? COMPRESS : 0n), properties };
}

/** Files and directories with flags or properties that a tar cannot express. */
function* marked(fd: number, after: bigint, ordinary: Ordinary): Generator<InodeTraits, void> {
  for (const inode of inodeTraitsAfter(fd, after)) {
    const type = inode.mode & S_IFMT;
    // Only these can be opened to set any; other file types inherit some without effect.
    if ((type !== S_IFREG && type !== S_IFDIR) || inode.links === 0) continue;
    const flags = inode.flags & (STUCK | SETTABLE) & ~ordinary.flags;
    const hasProperty = inode.hasProperty && !ordinary.properties;
    if (flags !== 0n || hasProperty) yield { ...inode, flags, hasProperty };
  }
}

/**
 * Paths of files in the read-only subvolume `root` that have inode flags or btrfs properties, each with a text that
 * describes them. A layer's blob does not record differences between two such texts. The time is proportional to the
 * size of the tree. Throws SyscallError.
 */
export function listMarked(root: string): Map<ByteString, string> {
  const fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const paths = new InodePaths(fd);
    const found = new Map<ByteString, string>();
    for (const { ino, flags, hasProperty } of marked(fd, -1n, { flags: 0n, properties: false }))
      for (const path of ino === SUBVOLUME_ROOT_INODE ? ['/'] : paths.of(ino))
        found.set(path, `${flags.toString(16)} ${hasProperty}`);
    return found;
  } finally {
    closeSync(fd);
  }
}

/** True when `clearMarks` would find anything. The time is proportional to the changes since `after`. */
export function hasMarks(fd: number, after: bigint, ordinary: Ordinary): boolean {
  return marked(fd, after, ordinary).next().done !== true;
}

/**
 * Removes inode flags and btrfs properties from everything in the writable snapshot `fd` that changed after transaction
 * `after`. Preserves names, contents, links and times. No other process may use the snapshot. Throws SyscallError.
 */
export async function clearMarks(fd: number, after: bigint, ordinary: Ordinary): Promise<void> {
  const inodes = [...marked(fd, after, ordinary)].map((inode) => ({
    ...inode,
    paths: inode.ino === SUBVOLUME_ROOT_INODE ? ['/'] : new InodePaths(fd).of(inode.ino),
  }));
  // Files cannot be created in an immutable directory, and they inherit +C from their directory.
  const directoriesFirst = inodes.sort((a, b) => Number(isFile(a)) - Number(isFile(b)));
  const stuck = directoriesFirst.filter(({ paths: [path] }) => path !== undefined && !atPath(fd, path, clearEntry));
  for (const { paths } of stuck) if (!(await replaceFile(fd, paths))) return;
}

function isFile({ mode }: { readonly mode: number }): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

function atPath<T>(root: number, path: ByteString, act: (dir: number, name: Uint8Array) => T): T {
  const { dir, name } = openParent(root, fromByteString(path));
  try {
    return act(dir, name.length === 0 ? Buffer.from('.') : name);
  } finally {
    closeSync(dir);
  }
}

/** Returns false when flags remain, because a file with content keeps some. */
function clearEntry(dir: number, name: Uint8Array): boolean {
  const path = fdPath(dir, name);
  const fd = openAt(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    setInodeFlags(fd, 0);
    for (const key of listXattrs(path)) if (key.toString('latin1').startsWith('btrfs.')) removeXattr(path, key);
    return (getInodeFlags(fd) & (NO_COPY_ON_WRITE | VERITY)) === 0;
  } finally {
    closeSync(fd);
  }
}

/** Replaces a file, at all its names, with a copy. Returns false when new files have the flag too, because of a mount option. */
async function replaceFile(root: number, paths: readonly ByteString[]): Promise<boolean> {
  const [first] = paths;
  if (first === undefined) return true;
  const temporary = Buffer.from(`.imgtool-${randomBytes(8).toString('hex')}`);
  const { dir, name } = openParent(root, fromByteString(first));
  try {
    const { mtimeNs } = statAt(dir, '');
    const copied = await copyBeside(dir, name, temporary);
    if (copied)
      for (const path of paths)
        atPath(root, path, (other, otherName) => {
          const before = statAt(other, '').mtimeNs;
          const link = Buffer.concat([temporary, Buffer.from('-')]);
          linkAt(dir, temporary, other, link);
          renameAt(other, link, other, otherName);
          setTimesAt(other, '.', before);
        });
    unlinkAt(dir, temporary);
    setTimesAt(dir, '.', mtimeNs);
    return copied;
  } finally {
    closeSync(dir);
  }
}

async function copyBeside(dir: number, name: Uint8Array, temporary: Uint8Array): Promise<boolean> {
  const metadata = readMetadata(dir, name);
  const source = openAt(dir, name, O_RDONLY | O_NOFOLLOW);
  try {
    const target = openAt(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      if ((getInodeFlags(target) & NO_COPY_ON_WRITE) !== 0) return false;
      await runInSlices(copyContent(source, target, metadata.stat.size));
      setFileAttributes({ fd: target, dir, name: temporary }, metadata, () => undefined);
      return true;
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}
