import type { ByteString } from './byte-path.js';
import type { EntryType } from './entry-type.js';
import type { Xattrs } from './read-metadata.js';

/** The file at one path of a tree. */
export interface TreeNode {
  readonly type: EntryType;
  /** The twelve permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of a file's content; 0 for other types. Bytes. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** The target of a symbolic link, unchanged. */
  readonly target?: ByteString;
  readonly xattrs: Xattrs;
  /** Number of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Equal for all names of one file; undefined: it has one name. */
  readonly linkKey?: string;
  /** Hexadecimal SHA-256 of a file's content, if known without reading it. */
  readonly contentHash?: string;
  /** True for a directory that a tar only implies: it has entries below but none for itself. */
  readonly isImplied?: boolean;
  /** Detects whether a file has changed since it was last read; undefined when unknown. */
  readonly stamp?: FileStamp;
}

/** Identity and times of a file of this machine. */
export interface FileStamp {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** The content of an open file: `size` bytes at `offset` of the descriptor `fd`. */
export interface OpenContent {
  readonly fd: number;
  readonly offset: number;
  readonly size: number;
  /**
   * Pairs of offset and length of the stored regions; the rest of the file is zeros. `fd` contains only these regions,
   * concatenated.
   */
  readonly regions?: readonly number[];
  /** Throws SyscallError (ESTALE) when the file has changed since `node` was returned. Call it after reading. */
  check?(): void;
  close(): void;
}

/**
 * A directory tree to read: a directory of this machine, or the members of stacked tars. Paths are bytes without
 * leading and trailing slash; `''` is the root. Follows no links and reads nothing outside.
 */
export interface FileTree {
  /** The file at `path`; undefined when it does not exist or a parent is not a directory. Throws SyscallError. */
  node(path: ByteString): TreeNode | undefined;
  /** Names in the directory, sorted bytewise. Throws SyscallError. */
  names(path: ByteString): readonly ByteString[];
  /** Opens the regular file described by `node`. The caller closes it. Throws SyscallError, and the errors of fetching its layer. */
  open(path: ByteString, node: TreeNode): Promise<OpenContent>;
}

/**
 * A directory tree to write: a directory of this machine, or a layer being built. Paths as in `FileTree`; all parent
 * directories must exist.
 */
export interface WritableTree {
  node(path: ByteString): TreeNode | undefined;
  /** Creates a directory where nothing exists. */
  makeDirectory(path: ByteString, attributes: TreeAttributes): void;
  /** Changes the attributes of an existing directory. */
  setDirectory(path: ByteString, attributes: TreeAttributes): void;
  /** Creates a file, replacing anything but a directory. `content` is opened when needed. */
  putFile(path: ByteString, attributes: TreeAttributes, content: FileContent): Promise<void>;
  /** Creates a symbolic link, device or fifo, replacing anything but a directory. */
  putSpecial(path: ByteString, node: TreeNode): void;
  /** Creates a hard link to the file `first`, which was written here, replacing anything but a directory. */
  link(path: ByteString, first: ByteString): void;
  /** Removes a file, or a directory with its contents. */
  remove(path: ByteString): void;
}

/** Owner, mode, time and extended attributes of a file to write. */
export type TreeAttributes = Pick<TreeNode, 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'xattrs'>;

/** The source of a file's content. */
export interface FileContent {
  readonly size: number;
  /** Hexadecimal SHA-256, if known. */
  readonly hash?: string | undefined;
  open(): Promise<OpenContent>;
}
