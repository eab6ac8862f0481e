import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { RelativePath, type EntryType } from '../../rootfs/index.js';
import { displayPath } from '../../sys/index.js';
import { MAX_TRAILING_BYTES, PATH_LIMITS } from '../limits.js';
import { StoppedError } from '../stopped-error.js';
import type { ByteWindows } from '../tar/byte-windows.js';
import { TYPE } from '../tar/header.js';
import { TarReader } from '../tar/reader.js';
import { pathError } from '../unpack/unpack-error.js';
import { meaningOf } from '../unpack/whiteouts.js';
import { FOOTER_BYTES, formatEntry, LINES_A_BLOCK, type IndexEntry, type IndexFooter } from './entry.js';

export interface IndexOptions {
  /** Descriptor of the file for the index. */
  readonly index: number;
  /** Descriptor of the file for the contents of all files, concatenated; undefined: contents are skipped. */
  readonly data: number | undefined;
  /** Treat whiteout names as ordinary names. */
  readonly plainNames: boolean;
  readonly stopped: () => boolean;
}

interface Node {
  entry?: IndexEntry;
  children?: Map<string, Node>;
}

const TYPES: Readonly<Record<number, EntryType>> = {
  [TYPE.file]: 'file',
  [TYPE.directory]: 'directory',
  [TYPE.symlink]: 'symlink',
  [TYPE.charDevice]: 'character-device',
  [TYPE.blockDevice]: 'block-device',
  [TYPE.fifo]: 'fifo',
};
/** The most links to follow within a tar for one entry. */
const MAX_LINKS = 40;
const NANOS = 1_000_000_000n;

/**
 * Reads a tar to its end and indexes its resulting files: the last member of a name counts, and an entry below a link
 * goes to the target of the link. Memory grows with the number of members, not with their contents. Throws
 * LayerFormatError, PathEscapeError, StoppedError, node's system errors.
 */
export function indexMembers(windows: ByteWindows, options: IndexOptions): IndexFooter {
  const reader = new TarReader(windows);
  const top: Node = {};
  const path = new RelativePath(PATH_LIMITS);
  let offset = 0;
  let members = 0;
  while (reader.next()) {
    if (options.stopped()) throw new StoppedError();
    members += 1;
    const member = reader.entry;
    const problem = path.assign(member.nameBytes, member.nameStart, member.nameEnd);
    if (problem !== undefined) throw pathError(problem, member.name(), 'an entry');
    if (!options.plainNames && !path.isRoot && meaningOf(path) === 'skip') continue;
    const { type, mode, uid, gid, realSize, sparse } = member;
    const given = path.toBuffer().toString('latin1');
    if (path.isRoot && type !== TYPE.directory) {
      throw new LayerFormatError('the tar has an entry that would replace its root with a non-directory', {
        entry: '.',
      });
    }
    const common = {
      mode,
      uid,
      gid,
      mtimeNs: BigInt(member.mtimeSeconds) * NANOS + BigInt(member.mtimeNanos),
      ...(member.xattrs.length === 0
        ? {}
        : {
            xattrs: member.xattrs.map(
              ({ name, value }) => [name.toString('latin1'), value.toString('base64')] as const,
            ),
          }),
    };
    if (type === TYPE.hardLink) {
      const problemOfLink = path.assign(member.linkBytes, member.linkStart, member.linkEnd);
      if (problemOfLink !== undefined) throw pathError(problemOfLink, member.linkName(), 'a hard link');
      const target = path.toBuffer().toString('latin1');
      place(top, given, linkEntry(top, target, { common, key: `/${members}`, isArchive: options.plainNames }));
      continue;
    }
    const entry: Omit<IndexEntry, 'path'> = {
      ...common,
      type: TYPES[type]!,
      size: type === TYPE.file ? realSize : 0,
      offset,
      ...(type === TYPE.symlink ? { target: member.linkName().toString('latin1') } : {}),
      ...(type === TYPE.charDevice || type === TYPE.blockDevice
        ? { device: [member.devMajor, member.devMinor] as const }
        : {}),
      ...(sparse === undefined ? {} : { regions: sparse }),
    };
    if (type !== TYPE.file) {
      place(top, given, entry);
      continue;
    }
    const content = readData(reader, windows, options.data);
    offset += content.bytes;
    place(top, given, sparse === undefined ? { ...entry, hash: content.hash } : entry);
  }
  reader.drain(MAX_TRAILING_BYTES);
  return writeIndex(top, options.index, offset);
}

/** An entry for a further name of the file `target`, which gets the link key `key` unless it has one. */
function linkEntry(
  top: Node,
  target: string,
  {
    common,
    key,
    isArchive,
  }: {
    readonly common: Omit<IndexEntry, 'path' | 'type' | 'size' | 'offset'>;
    readonly key: string;
    readonly isArchive: boolean;
  },
): Omit<IndexEntry, 'path'> {
  const found = find(top, target);
  const { entry } = found ?? {};
  if (entry === undefined || entry.type === 'directory') {
    if (isArchive || entry !== undefined)
      throw new LayerFormatError(
        `the tar has a hard link to ${displayPath(Buffer.from(target, 'latin1'))}, which is not a file in it`,
        {
          entry: displayPath(Buffer.from(target, 'latin1')),
        },
      );
    return { ...common, type: 'hard-link', size: 0, offset: 0, target };
  }
  return (found!.entry = { ...entry, first: entry.first ?? key });
}

function find(top: Node, path: string): Node | undefined {
  let node: Node | undefined = top;
  for (const name of path === '' ? [] : path.split('/')) node = node?.children?.get(name);
  return node;
}

/** Adds an entry where its path leads within this tar. A directory keeps its contents; any other entry replaces what was there. */
function place(top: Node, given: string, entry: Omit<IndexEntry, 'path'>): void {
  const pending = given === '' ? [] : given.split('/').reverse();
  const way: { name: string; node: Node }[] = [];
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      way.pop();
      continue;
    }
    const above = way.at(-1)?.node ?? top;
    above.children ??= new Map();
    let node = above.children.get(name);
    if (node === undefined) above.children.set(name, (node = {}));
    if (pending.length > 0 && node.entry !== undefined && node.entry.type !== 'directory') {
      const { type, target = '' } = node.entry;
      if (type !== 'symlink' || (links += 1) > MAX_LINKS) {
        const shown = displayPath(Buffer.from(given, 'latin1'));
        throw new LayerFormatError(`the tar has an entry below something that is not a directory: ${shown}`, {
          entry: shown,
        });
      }
      if (target.startsWith('/')) way.length = 0;
      pending.push(...target.split('/').reverse());
      continue;
    }
    way.push({ name, node });
  }
  const node = way.at(-1)?.node ?? top;
  if (entry.type !== 'directory') delete node.children;
  node.entry = { ...entry, path: way.map(({ name }) => name).join('/') };
}

function readData(
  reader: TarReader,
  windows: ByteWindows,
  data: number | undefined,
): { readonly bytes: number; readonly hash: string } {
  const hash = createHash('sha256');
  let bytes = 0;
  for (let length = reader.data(); length > 0; length = reader.data()) {
    const piece = windows.bytes.subarray(windows.start, windows.start + length);
    hash.update(piece);
    bytes += length;
    if (data !== undefined) for (let done = 0; done < length;) done += writeSync(data, piece, done, length - done);
  }
  return { bytes, hash: hash.digest('hex') };
}

function writeIndex(top: Node, fd: number, dataBytes: number): IndexFooter {
  const blocks: number[] = [];
  let lineBytes = 0;
  let entries = 0;
  let lines: string[] = [];
  const flush = (): void => {
    if (lines.length === 0) return;
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    blocks.push(lineBytes);
    writeAll(fd, bytes);
    lineBytes += bytes.length;
    lines = [];
  };
  for (const entry of inOrder(top)) {
    lines.push(formatEntry(entry));
    entries += 1;
    if (lines.length === LINES_A_BLOCK) flush();
  }
  flush();
  const table = Buffer.alloc(blocks.length * 8);
  blocks.forEach((offset, index) => table.writeDoubleLE(offset, index * 8));
  writeAll(fd, table);
  const footer: IndexFooter = { version: 1, entries, lineBytes, dataBytes, tableBytes: table.length };
  writeAll(fd, Buffer.from(JSON.stringify(footer).padEnd(FOOTER_BYTES)));
  return footer;
}

function* inOrder(top: Node): Generator<IndexEntry> {
  const pending: Node[] = [top];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.entry !== undefined) yield node.entry;
    const children = [...(node.children ?? [])].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [, child] of children) pending.push(child);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done);
}
