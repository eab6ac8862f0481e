/** Everything that can be seen of a directory tree, for comparing trees made by different programs. Knows nothing of layers. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type BigIntStats,
} from 'node:fs';
import { getXattr, listXattrs } from '../../lib/sys/index.js';

/** One path of a tree; fields are text so that a listing can be compared and printed. */
export interface TreeEntry {
  /** Path below the root, bytes as latin1; `.` is the root itself. */
  readonly path: string;
  readonly type: 'file' | 'dir' | 'link' | 'char' | 'block' | 'fifo' | 'socket';
  /** Permission bits, octal. */
  readonly mode: string;
  /** `uid:gid`. */
  readonly owner: string;
  /** ns since 1970. */
  readonly mtime: string;
  /** Bytes; files and links only. */
  readonly size?: string;
  /** Target of a link, bytes as latin1. */
  readonly target?: string;
  /** `major:minor`. */
  readonly device?: string;
  /** First path of the hard-link group, when there is more than one name. */
  readonly linkGroup?: string;
  /** Name → value in hex. */
  readonly xattrs: Readonly<Record<string, string>>;
  /** sha256 of a file's content. */
  readonly content?: string;
}

/** Options of `listTree`. */
export interface ListTreeOptions {
  /** Read file contents. Default true. */
  readonly content?: boolean;
  /** Leave out the root directory itself, whose times differ when an image says nothing of it. Default false. */
  readonly withoutRoot?: boolean;
}

/** Lists the tree at `root`, sorted bytewise by path; follows no link and opens only regular files. */
export function listTree(root: string, options: ListTreeOptions = {}): Map<string, TreeEntry> {
  const tree = new Map<string, TreeEntry>();
  const groups = new Map<string, string>();
  const visit = (absolute: Buffer, path: string): void => {
    const stat = lstatSync(absolute, { bigint: true });
    if (path !== '.' || options.withoutRoot !== true) tree.set(path, describe(absolute, path, stat, groups, options));
    if (!stat.isDirectory()) return;
    const names = readdirSync(absolute, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b));
    for (const name of names)
      visit(Buffer.concat([absolute, Buffer.from('/'), name]), path === '.' ? latin1(name) : `${path}/${latin1(name)}`);
  };
  visit(Buffer.from(root), '.');
  return tree;
}

function describe(
  absolute: Buffer,
  path: string,
  stat: BigIntStats,
  groups: Map<string, string>,
  options: ListTreeOptions,
): TreeEntry {
  const type = typeOf(stat);
  const entry: { -readonly [Key in keyof TreeEntry]: TreeEntry[Key] } = {
    path,
    type,
    mode: (stat.mode & 0o7777n).toString(8),
    owner: `${stat.uid}:${stat.gid}`,
    mtime: String(stat.mtimeNs),
    xattrs: Object.fromEntries(
      listXattrs(absolute).map((name) => [latin1(name), getXattr(absolute, name)?.toString('hex') ?? '']),
    ),
  };
  if (type === 'link') entry.target = latin1(readlinkSync(absolute, { encoding: 'buffer' }));
  if (type === 'file' || type === 'link') entry.size = String(stat.size);
  if (type === 'char' || type === 'block') entry.device = deviceNumbers(stat.rdev);
  if (type === 'file' && options.content !== false) entry.content = hashFile(absolute);
  if (type !== 'dir' && stat.nlink > 1n) {
    const inode = `${stat.dev}:${stat.ino}`;
    const first = groups.get(inode) ?? path;
    groups.set(inode, first);
    entry.linkGroup = first;
  }
  return entry;
}

function typeOf(stat: BigIntStats): TreeEntry['type'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'dir';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isCharacterDevice()) return 'char';
  if (stat.isBlockDevice()) return 'block';
  return stat.isFIFO() ? 'fifo' : 'socket';
}

/** The kernel's split of a 64-bit dev_t, as in glibc's makedev. */
function deviceNumbers(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

const BLOCK = Buffer.allocUnsafe(1 << 20);

function hashFile(path: Buffer): string {
  const hash = createHash('sha256');
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (;;) {
      const length = readSync(fd, BLOCK);
      if (length === 0) return hash.digest('hex');
      hash.update(BLOCK.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
}

function latin1(name: Buffer): string {
  return name.toString('latin1');
}

/** Readable differences of two listings, one line each: `- path` only in `want`, `+ path` only in `got`, `~ path: field: want → got`. */
export function diffTrees(want: ReadonlyMap<string, TreeEntry>, got: ReadonlyMap<string, TreeEntry>): string[] {
  const lines: string[] = [];
  for (const path of [...new Set([...want.keys(), ...got.keys()])].sort()) {
    const [left, right] = [want.get(path), got.get(path)];
    if (left === undefined) lines.push(`+ ${path}`);
    else if (right === undefined) lines.push(`- ${path}`);
    else
      for (const field of new Set([...Object.keys(left), ...Object.keys(right)]) as Set<keyof TreeEntry>) {
        const [a, b] = [JSON.stringify(left[field]), JSON.stringify(right[field])];
        if (a !== b) lines.push(`~ ${path}: ${field}: ${a} → ${b}`);
      }
  }
  return lines;
}

/** Throws with the first 30 differences unless the trees are equal. */
export function expectSameTree(want: ReadonlyMap<string, TreeEntry>, got: ReadonlyMap<string, TreeEntry>): void {
  const lines = diffTrees(want, got);
  if (lines.length > 0)
    throw new Error(`trees differ in ${lines.length} points (- wanted, + got):\n${lines.slice(0, 30).join('\n')}`);
}
