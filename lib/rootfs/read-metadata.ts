import { fdPath, getXattr, listXattrs, readlinkAt, statAt, type FileStat, type SysPath } from '../sys/index.js';
import { toByteString, type ByteString } from './byte-path.js';
import { entryType, type EntryType } from './entry-type.js';

/** Extended attributes by name. Names are sorted bytewise; values are binary. */
export type Xattrs = ReadonlyMap<ByteString, Buffer>;

/** Everything that an image stores about one path, except a file's content. */
export interface Metadata {
  readonly type: EntryType;
  readonly stat: FileStat;
  /** Target of a symbolic link. */
  readonly target?: Buffer;
  readonly xattrs: Xattrs;
}

/** Reads the metadata of `name` in the directory `dir` (`''`: the directory itself). Follows no link. Throws SyscallError. */
export function readMetadata(dir: number, name: SysPath): Metadata {
  const stat = statAt(dir, name);
  const type = entryType(stat.mode);
  const xattrs = readXattrs(dir, name);
  return type === 'symlink' ? { type, stat, xattrs, target: readlinkAt(dir, name) } : { type, stat, xattrs };
}

/**
 * The attributes of `name` in `dir`, without those that belong to this host rather than to the image: SELinux labels
 * and btrfs properties.
 */
export function readXattrs(dir: number, name: SysPath): Xattrs {
  const path = fdPath(dir, name.length === 0 ? '.' : name);
  const names = listXattrs(path);
  if (names.length === 0) return NONE;
  const found = new Map<ByteString, Buffer>();
  for (const attribute of names) {
    const key = toByteString(attribute);
    if (key.startsWith('btrfs.') || key === 'security.selinux') continue;
    const value = getXattr(path, attribute);
    if (value !== undefined) found.set(key, value);
  }
  return found;
}

const NONE: Xattrs = new Map();
