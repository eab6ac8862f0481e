import { isUtf8 } from 'node:buffer';
import { encodePax, paxTime } from './pax-writer.js';

/** Size of a tar block; headers and padding are multiples of it. Bytes. */
export const TAR_BLOCK = 512;

/** The contents of one header. Names are bytes; the name of a directory ends with a slash. */
export interface TarEntry {
  readonly name: Buffer;
  /** ustar type flag: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` fifo. */
  readonly type: '0' | '1' | '2' | '3' | '4' | '5' | '6';
  /** Permission bits only. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of the data after the header. Bytes. */
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly linkName?: Buffer;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: readonly { readonly name: Buffer; readonly value: Buffer }[];
}

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const MAX_OCTAL_8 = 0o7777777;
const MAX_OCTAL_12 = 0o77777777777;
const SECOND = 1_000_000_000n;
const EMPTY = Buffer.alloc(0);

/**
 * All header blocks of an entry: a PAX header when ustar is not sufficient, then the ustar header. A long name that is
 * not UTF-8 is written as a GNU `L` or `K` header, because PAX names are UTF-8 by definition.
 */
export function encodeHeader(entry: TarEntry): Buffer {
  const records: { key: string | Buffer; value: string | Buffer }[] = [];
  const parts: Buffer[] = [];
  const long = (key: string, flag: string, value: Buffer): void => {
    if (isUtf8(value)) records.push({ key, value });
    else parts.push(encodeExtra(flag, '././@LongLink', Buffer.concat([value, Buffer.alloc(1)])));
  };
  const place = splitName(entry.name);
  const linkName = entry.linkName ?? EMPTY;
  if (place === undefined) long('path', 'L', entry.name);
  if (linkName.length > NAME_BYTES) long('linkpath', 'K', linkName);
  const seconds = entry.mtimeNs / SECOND;
  const plainTime = entry.mtimeNs >= 0n && entry.mtimeNs % SECOND === 0n && seconds <= BigInt(MAX_OCTAL_12);
  if (!plainTime) records.push({ key: 'mtime', value: paxTime(entry.mtimeNs) });
  for (const key of ['uid', 'gid'] as const)
    if (entry[key] > MAX_OCTAL_8) records.push({ key, value: String(entry[key]) });
  if (entry.size > MAX_OCTAL_12) records.push({ key: 'size', value: String(entry.size) });
  for (const { name, value } of entry.xattrs ?? [])
    records.push({ key: Buffer.concat([Buffer.from('SCHILY.xattr.'), encodeXattrName(name)]), value });
  if (records.length > 0) parts.push(encodeExtra('x', 'PaxHeaders.0/entry', encodePax(records)));
  parts.push(ustarHeader(entry, place, linkName, plainTime ? seconds : 0n));
  return Buffer.concat(parts);
}

/**
 * An attribute name as part of a PAX keyword, which cannot contain `=`: like GNU tar, writes `=` as %3D. Writes `%` as
 * %25 only where it would be read as one of these codes, because Go programs do not decode them.
 */
function encodeXattrName(name: Buffer): Buffer {
  return Buffer.from(
    name
      .toString('latin1')
      .replace(/%(?=3D|25)/g, '%25')
      .replaceAll('=', '%3D'),
    'latin1',
  );
}

/** The number of zero bytes after `size` bytes of data up to the next block. */
export function paddingOf(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

function encodeExtra(type: string, name: string, data: Buffer): Buffer {
  const entry = { type, mode: 0o644, uid: 0, gid: 0, size: data.length };
  const head = ustarHeader(entry, { prefix: EMPTY, name: Buffer.from(name) }, EMPTY, 0n);
  return Buffer.concat([head, data, Buffer.alloc(paddingOf(data.length))]);
}

interface Place {
  readonly prefix: Buffer;
  readonly name: Buffer;
}

function splitName(name: Buffer): Place | undefined {
  if (name.length <= NAME_BYTES) return { prefix: EMPTY, name };
  // The slash between both parts is not stored, and the second part must not be empty.
  const slash = name.indexOf(0x2f, Math.max(1, name.length - NAME_BYTES - 1));
  if (slash < 0 || slash > PREFIX_BYTES || slash === name.length - 1) return undefined;
  return { prefix: name.subarray(0, slash), name: name.subarray(slash + 1) };
}

type HeaderFields = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'size' | 'major' | 'minor'> & { readonly type: string };

function ustarHeader(entry: HeaderFields, place: Place | undefined, linkName: Buffer, seconds: bigint): Buffer {
  const out = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, offset: number, digits: number): void => {
    out.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
  };
  // A name in an extended header is truncated here, so that readers without PAX still show something.
  const longName = place?.name ?? Buffer.from('@LongName');
  longName.copy(out, 0, 0, NAME_BYTES);
  octal(entry.mode, 100, 7);
  octal(entry.uid > MAX_OCTAL_8 ? 0 : entry.uid, 108, 7);
  octal(entry.gid > MAX_OCTAL_8 ? 0 : entry.gid, 116, 7);
  octal(entry.size > MAX_OCTAL_12 ? 0 : entry.size, 124, 11);
  octal(Number(seconds), 136, 11);
  out.fill(0x20, 148, 156);
  out.write(entry.type, 156, 'latin1');
  linkName.copy(out, 157, 0, NAME_BYTES);
  out.write('ustar\u000000', 257, 'latin1');
  octal(entry.major ?? 0, 329, 7);
  octal(entry.minor ?? 0, 337, 7);
  place?.prefix.copy(out, 345);
  let sum = 0;
  for (const byte of out) sum += byte;
  octal(sum, 148, 6);
  out[154] = 0;
  return out;
}
