import type { EntryType } from '../../rootfs/index.js';

/** One member of a tar as its index keeps it. Paths are bytes, a char each. */
export interface IndexEntry {
  readonly path: string;
  /** `hard-link`: to a file that is not in the same tar. */
  readonly type: EntryType | 'hard-link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** Bytes of the file, holes included. */
  readonly size: number;
  /** Where the stored content begins among that of all files of the tar, in order. */
  readonly offset: number;
  /** Hexadecimal SHA-256 of a file without holes. */
  readonly hash?: string | undefined;
  /** Of a symbolic or hard link. */
  readonly target?: string | undefined;
  /** Path of the first name of a file that has several. */
  readonly first?: string | undefined;
  readonly device?: readonly [major: number, minor: number] | undefined;
  readonly xattrs?: readonly (readonly [name: string, base64: string])[] | undefined;
  /** Pairs of offset and length of what is stored of a sparse file. */
  readonly regions?: readonly number[] | undefined;
}

/** One line of an index, without its end. */
export function formatEntry(entry: IndexEntry): string {
  const { path, type, mode, uid, gid, mtimeNs, size, offset, ...rest } = entry;
  return JSON.stringify([path, type, mode, uid, gid, String(mtimeNs), size, offset, rest]);
}

/** The entry of a line. Throws SyntaxError, TypeError. */
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

/** Orders paths so that what is in a directory follows it at once. */
export function comparePaths(a: string, b: string): number {
  const [x, y] = [a.replaceAll('/', '\0'), b.replaceAll('/', '\0')];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Lines of an index that are read together. */
export const LINES_A_BLOCK = 64;

/** What ends an index, as JSON in its last line; before it stand the offsets of the blocks, 8 bytes each, little-endian. */
export interface IndexFooter {
  readonly version: 1;
  readonly entries: number;
  /** Bytes of all lines. */
  readonly lineBytes: number;
  /** Bytes of the stored contents of all files. */
  readonly dataBytes: number;
  /** Bytes of the offsets. */
  readonly tableBytes: number;
}

/** Bytes of the footer, padded with spaces. */
export const FOOTER_BYTES = 160;
