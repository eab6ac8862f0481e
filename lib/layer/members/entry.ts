import type { EntryType } from '../../rootfs/index.js';

/** One member of a tar as stored in its index. Paths have one char per byte. */
export interface IndexEntry {
  readonly path: string;
  /** `hard-link`: a link to a file outside this tar. */
  readonly type: EntryType | 'hard-link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** Size of the file, including holes. Bytes. */
  readonly size: number;
  /** Offset of the stored content within the concatenated contents of all files. */
  readonly offset: number;
  /** Hexadecimal SHA-256; only for files without holes. */
  readonly hash?: string | undefined;
  /** Target of a symbolic or hard link. */
  readonly target?: string | undefined;
  /** Equal for all names of one file, and no path; undefined: it has one name. */
  readonly first?: string | undefined;
  readonly device?: readonly [major: number, minor: number] | undefined;
  readonly xattrs?: readonly (readonly [name: string, base64: string])[] | undefined;
  /** For a sparse file: pairs of offset and length of its stored regions. */
  readonly regions?: readonly number[] | undefined;
}

/** One line of an index, without the newline. */
export function formatEntry(entry: IndexEntry): string {
  const { path, type, mode, uid, gid, mtimeNs, size, offset, ...rest } = entry;
  return JSON.stringify([path, type, mode, uid, gid, String(mtimeNs), size, offset, rest]);
}

/** Parses one line of an index. Throws SyntaxError, TypeError. */
export function parseEntry(line: string): IndexEntry {
  const [path, type, mode, uid, gid, mtimeNs, size, offset, rest] = JSON.parse(line) as [
    string,
    IndexEntry['type'],
    number,
    number,
    number,
    string,
    number,
    number,
    Partial<IndexEntry>,
  ];
  return { ...rest, path, type, mode, uid, gid, mtimeNs: BigInt(mtimeNs), size, offset };
}

/** Compares paths so that a directory is directly followed by its contents. */
export function comparePaths(a: string, b: string): number {
  const [x, y] = [a.replaceAll('/', '\0'), b.replaceAll('/', '\0')];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Number of index lines that are read together. */
export const LINES_A_BLOCK = 64;

/** The last line of an index, as JSON. The offsets of the blocks precede it, 8 bytes each, little-endian. */
export interface IndexFooter {
  readonly version: 1;
  readonly entries: number;
  /** Size of all lines. Bytes. */
  readonly lineBytes: number;
  /** Size of the stored contents of all files. Bytes. */
  readonly dataBytes: number;
  /** Size of the offsets. Bytes. */
  readonly tableBytes: number;
}

/** Size of the footer, padded with spaces. Bytes. */
export const FOOTER_BYTES = 160;
