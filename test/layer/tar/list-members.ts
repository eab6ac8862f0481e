import { addressOf } from '../../../lib/sys/index.js';
import type { ByteWindows } from '../../../lib/layer/tar/byte-windows.js';
import { FIELD, isBlank, parseNumber, TYPE } from '../../../lib/layer/tar/header.js';
import type { TarMember } from '../../../lib/layer/tar/member.js';
import { TarReader } from '../../../lib/layer/tar/reader.js';

/** A member with its data, holes filled with zeros. */
export interface ListedMember {
  /** As `tar -tv --numeric-owner --full-time --quoting-style=escape` writes it, runs of spaces made one. */
  readonly line: string;
  readonly name: string;
  readonly type: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** ns since 1970. */
  readonly mtime: bigint;
  readonly target: string;
  readonly xattrs: Readonly<Record<string, string>>;
  readonly data: Buffer;
  /** The header gives a size to what has no data: readers disagree on whether some follows. */
  readonly idleSize: 'none' | 'hard link' | 'other';
}

/** Options of `listMembers`. */
export interface ListMembersOptions {
  /** Bytes of the windows that the reader sees the archive through, a multiple of 512. Default: all at once. */
  readonly windowBytes?: number;
  /** Default true; without, `data` is empty. */
  readonly data?: boolean;
}

/** Reads an archive with lib/layer's reader. Throws LayerFormatError. */
export function listMembers(archive: Uint8Array, options: ListMembersOptions = {}): ListedMember[] {
  const windows = new MemoryWindows(archive, options.windowBytes);
  const reader = new TarReader(windows);
  const members: ListedMember[] = [];
  while (reader.next()) {
    const { entry } = reader;
    const head = windows.start - 512;
    const isEmpty = isBlank(windows.bytes, head + FIELD.size[0], FIELD.size[1]);
    const size = parseNumber(windows.bytes, head + FIELD.size[0], FIELD.size[1]);
    const isFile = entry.type === TYPE.file;
    const member: Omit<ListedMember, 'data'> = {
      line: lineOf(entry),
      name: text(entry.name()),
      type: entry.type,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: entry.realSize,
      mtime: BigInt(entry.mtimeSeconds) * 1_000_000_000n + BigInt(entry.mtimeNanos),
      target: entry.type === TYPE.symlink || entry.type === TYPE.hardLink ? text(entry.linkName()) : '',
      xattrs: Object.fromEntries(entry.xattrs.map(({ name, value }) => [text(name), value.toString('hex')])),
      idleSize: isFile || size === 0 || isEmpty ? 'none' : entry.type === TYPE.hardLink ? 'hard link' : 'other',
    };
    members.push({ ...member, data: options.data === false ? Buffer.alloc(0) : readData(reader, windows) });
  }
  return members;
}

function readData(reader: TarReader, windows: MemoryWindows): Buffer {
  const { sparse, realSize } = reader.entry;
  const parts: Buffer[] = [];
  for (let length = reader.data(); length > 0; length = reader.data())
    parts.push(Buffer.from(windows.bytes.subarray(windows.start, windows.start + length)));
  const stored = Buffer.concat(parts);
  if (sparse === undefined) return stored;
  const whole = Buffer.alloc(realSize);
  let at = 0;
  for (let index = 0; index < sparse.length; index += 2) {
    stored.copy(whole, sparse[index], at, at + sparse[index + 1]!);
    at += sparse[index + 1]!;
  }
  return whole;
}

const LETTERS: Readonly<Record<number, string>> = {
  [TYPE.file]: '-',
  [TYPE.hardLink]: 'h',
  [TYPE.symlink]: 'l',
  [TYPE.charDevice]: 'c',
  [TYPE.blockDevice]: 'b',
  [TYPE.directory]: 'd',
  [TYPE.fifo]: 'p',
};

function lineOf(entry: TarMember): string {
  const { type, mode, uid, gid, mtimeSeconds, mtimeNanos } = entry;
  const isDevice = type === TYPE.charDevice || type === TYPE.blockDevice;
  const size = isDevice ? `${entry.devMajor},${entry.devMinor}` : String(entry.realSize);
  const name = quoted(entry.name());
  // A directory may have a slash at its end or not.
  const shown = type === TYPE.directory ? name.replace(/\/+$/, '') : name;
  // Columns of GNU tar are padded with spaces: those that begin a name cannot be told from them.
  const target =
    type === TYPE.symlink
      ? ` -> ${quoted(entry.linkName())}`
      : type === TYPE.hardLink
        ? ` link to ${quoted(entry.linkName())}`
        : '';
  return `${LETTERS[type]}${permissions(mode)} ${uid}/${gid} ${size} ${time(mtimeSeconds, mtimeNanos)} ${shown.replace(/^ +/, '')}${target}`;
}

function permissions(mode: number): string {
  const letters = [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-'));
  const special = (bit: number, at: number, letter: string): void => {
    if ((mode & bit) !== 0) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase();
  };
  special(0o4000, 2, 's');
  special(0o2000, 5, 's');
  special(0o1000, 8, 't');
  return letters.join('');
}

function time(seconds: number, nanos: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return `@${seconds}`;
  const fraction = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  // Years beyond four digits have a sign and zeros before them in ISO 8601, and not with GNU tar.
  return (
    date
      .toISOString()
      .replace(/^\+0*/, '')
      .replace('T', ' ')
      .replace(/\.\d+Z$/, '') + fraction
  );
}

const ESCAPES = new Map([...'\x07\b\f\n\r\t\v\\'].map((char, index) => [char, `\\${'abfnrtv\\'[index]}`]));

function quoted(bytes: Uint8Array): string {
  return text(bytes).replace(
    /[\x00-\x1f\x7f-\xff\\]/g,
    (char) => ESCAPES.get(char) ?? `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

/** What GNU tar printed, line by line, in the form of `ListedMember.line`: its columns are padded, contiguous files a kind. */
export function gnuLines(output: string): string[] {
  const lines = output.split('\n').filter((line) => line !== '');
  return lines.map((line) =>
    line
      .replace(/^(\S+ \S+) +(\S+) (\S+ \S+) +(.*)$/, '$1 $2 $3 $4')
      .replace(/^C(?=.*\/$)/, 'd')
      .replace(/^C/, '-')
      .replace(/^(d.*?)\/*$/, '$1'),
  );
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** An archive in memory, as one window or as several of `windowBytes`. */
class MemoryWindows implements ByteWindows {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly address: number;
  start = 0;
  end = 0;
  readonly #length: number;
  readonly #windowBytes: number;

  /** Copies `data`. */
  constructor(data: Uint8Array, windowBytes = Infinity) {
    const memory = new ArrayBuffer(Math.max(4, Math.ceil(data.length / 4) * 4));
    this.bytes = new Uint8Array(memory);
    this.bytes.set(data);
    this.words = new Uint32Array(memory);
    this.address = addressOf(this.bytes);
    this.#length = data.length;
    this.#windowBytes = windowBytes;
  }

  advance(): boolean {
    this.start = this.end;
    this.end = Math.min(this.#length, this.start + this.#windowBytes);
    return this.end > this.start;
  }
}
