import type { ByteString } from './byte-path.js';
import type { EntryType } from './entry-type.js';
import type { Xattrs } from './read-metadata.js';

/** What lies at one path of a tree. */
export interface TreeNode {
  readonly type: EntryType;
  /** The twelve low bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file's content; 0 for anything else. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** Of a symbolic link, as it is. */
  readonly target?: ByteString;
  readonly xattrs: Xattrs;
  /** Number of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** The same for all names of one file; undefined: it has one name. */
  readonly linkKey?: string;
  /** Hexadecimal SHA-256 of a file's content, where it is known without reading the file. */
  readonly contentHash?: string;
  /** Whether a tar only implies the directory: it has entries below and none for itself. */
  readonly isImplied?: boolean;
  /** What tells whether a file was changed since it was read last; undefined where that is not known. */
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

/** The content of a file, open: `size` bytes at `offset` of the descriptor `fd`. */
export interface OpenContent {
  readonly fd: number;
  readonly offset: number;
  readonly size: number;
  /** Pairs of offset and length of what is stored, when the rest of the file is zeros; `fd` has only these, one behind another. */
  readonly regions?: readonly number[];
  /** Throws SyscallError (ESTALE) when the file was changed since `node` told of it; to be called after reading. */
  check?(): void;
  close(): void;
}

/**
 * A directory tree to read from: a directory of this machine, or the members of tars over one another. Paths are bytes without a
 * slash at either end, `''` the root; no link in them is followed, and nothing outside is reached.
 */
export interface FileTree {
  /** What lies at `path`; undefined: nothing, or something on the way is no directory. Throws SyscallError. */
  node(path: ByteString): TreeNode | undefined;
  /** Names in the directory, sorted bytewise. Throws SyscallError. */
  names(path: ByteString): readonly ByteString[];
  /** Opens the regular file that `node` told of. The caller closes it. Throws SyscallError, and what fetching its layer throws. */
  open(path: ByteString, node: TreeNode): Promise<OpenContent>;
}

/**
 * A directory tree to write to: a directory of this machine, or a layer that is being made. Paths as in `FileTree`, all of whose
 * directories exist.
 */
export interface WritableTree {
  node(path: ByteString): TreeNode | undefined;
  /** Makes a directory where there is nothing. */
  makeDirectory(path: ByteString, attributes: TreeAttributes): void;
  /** Gives an existing directory other attributes. */
  setDirectory(path: ByteString, attributes: TreeAttributes): void;
  /** Makes a file, in place of what is no directory. `content` reads it; it is opened when it is needed. */
  putFile(path: ByteString, attributes: TreeAttributes, content: FileContent): Promise<void>;
  /** Makes a symbolic link, device or fifo, in place of what is no directory. */
  putSpecial(path: ByteString, node: TreeNode): void;
  /** Makes another name of the file `first`, which was put here, in place of what is no directory. */
  link(path: ByteString, first: ByteString): void;
  /** Removes what lies there, with all below. */
  remove(path: ByteString): void;
}

/** Owner, mode, time and extended attributes of what is written. */
export type TreeAttributes = Pick<TreeNode, 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'xattrs'>;

/** Where the content of a file comes from. */
export interface FileContent {
  readonly size: number;
  /** Hexadecimal SHA-256, where it is known. */
  readonly hash?: string | undefined;
  open(): Promise<OpenContent>;
}
