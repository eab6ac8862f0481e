import { LayerFormatError } from '../../errors.js';

/** A member's header for TarSum: with PAX and GNU extensions applied, and names as in the archive. */
export interface TarHeader {
  readonly name: Buffer;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Whole seconds. */
  readonly mtime: number;
  readonly type: number;
  readonly userName: Buffer;
  readonly groupName: Buffer;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Without `SCHILY.xattr.`. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

const BLOCK = 512;
/** Limit for all extended headers of one member, in bytes. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
const XATTR = 'SCHILY.xattr.';
const [PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK, SPARSE] = [0x78, 0x67, 0x4c, 0x4b, 0x53];
/** Links, devices, directories, FIFOs: no data follows them, whatever their size field says (Go's archive/tar). */
const WITHOUT_DATA = new Set([0x31, 0x32, 0x33, 0x34, 0x35, 0x36]);

/**
 * Reads the members of a tar in pieces, and passes on headers and data. Simpler than the reader of the layer room: it
 * validates no paths and creates no files, so that lower rooms can sum layers.
 */
export class TarWalk {
  readonly #on: { readonly header: (header: TarHeader) => void; readonly data: (piece: Uint8Array) => void };
  /** The part of a block or an extension received so far. */
  #held: Buffer = Buffer.alloc(0);
  #want = BLOCK;
  #extension: number | undefined;
  #extensionSize = 0;
  #extensionsSize = 0;
  #data = 0;
  #padding = 0;
  #ended = false;
  #records = new Map<string, Buffer>();

  constructor(on: { readonly header: (header: TarHeader) => void; readonly data: (piece: Uint8Array) => void }) {
    this.#on = on;
  }

  /** Takes the next piece. Throws LayerFormatError. */
  update(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.length && !this.#ended) {
      if (this.#data > 0) {
        const count = Math.min(this.#data, piece.length - at);
        this.#on.data(piece.subarray(at, at + count));
        this.#data -= count;
        at += count;
      } else if (this.#padding > 0) {
        const count = Math.min(this.#padding, piece.length - at);
        this.#padding -= count;
        at += count;
      } else {
        const count = Math.min(this.#want - this.#held.length, piece.length - at);
        this.#held = Buffer.concat([this.#held, piece.subarray(at, at + count)]);
        at += count;
        if (this.#held.length === this.#want) this.#take();
      }
    }
  }

  /** Marks the end of the input. Throws LayerFormatError when it is inside a member. */
  end(): void {
    if (!this.#ended && (this.#data > 0 || this.#padding > 0 || this.#held.length > 0 || this.#extension !== undefined))
      throw new LayerFormatError('the layer is truncated');
  }

  #take(): void {
    const bytes = this.#held;
    this.#held = Buffer.alloc(0);
    this.#want = BLOCK;
    if (this.#extension !== undefined) {
      this.#extend(this.#extension, bytes);
      this.#extension = undefined;
      return;
    }
    if (bytes.every((byte) => byte === 0)) {
      this.#ended = true;
      return;
    }
    checkBlock(bytes);
    const type = bytes[156]!;
    const size = numberAt(bytes, 124, 12);
    if (type === SPARSE || [...this.#records.keys()].some((key) => key.startsWith('GNU.sparse.')))
      throw new LayerFormatError('the layer has a sparse file');
    if (type === PAX || type === PAX_GLOBAL || type === LONG_NAME || type === LONG_LINK) {
      this.#extensionsSize += size;
      if (!(size >= 0 && this.#extensionsSize <= MAX_EXTENSION_BYTES))
        throw new LayerFormatError('the layer has an oversized extended header');
      this.#padding = 0;
      this.#want = Math.ceil(size / BLOCK) * BLOCK;
      this.#extension = type;
      this.#extensionSize = size;
      if (this.#want === 0) {
        this.#extension = undefined;
        this.#want = BLOCK;
      }
      return;
    }
    const header = this.#header(bytes, type);
    this.#records = new Map();
    this.#extensionsSize = 0;
    this.#on.header(header);
    this.#data = WITHOUT_DATA.has(type) ? 0 : header.size;
    this.#padding = (BLOCK - (this.#data % BLOCK)) % BLOCK;
  }

  #extend(type: number, bytes: Buffer): void {
    const body = bytes.subarray(0, this.#extensionSize);
    if (type === LONG_NAME) this.#records.set('path', untilNul(body));
    else if (type === LONG_LINK) this.#records.set('linkpath', untilNul(body));
    else if (type === PAX) for (const [key, value] of paxRecords(body)) this.#records.set(key, value);
  }

  #header(block: Buffer, type: number): TarHeader {
    const text = (at: number, length: number): Buffer => untilNul(block.subarray(at, at + length));
    const record = (key: string): Buffer | undefined => this.#records.get(key);
    const number = (key: string, at: number, length: number): number => {
      const value = record(key);
      const parsed = value === undefined ? numberAt(block, at, length) : Math.floor(Number(value.toString('latin1')));
      if (!Number.isSafeInteger(parsed)) throw new LayerFormatError(`the layer has a member with a bad ${key}`);
      return parsed;
    };
    const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
    const hasUsers = block.toString('latin1', 257, 262) === 'ustar';
    const prefix = isUstar ? text(345, 155) : Buffer.alloc(0);
    const name = prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), text(0, 100)]) : text(0, 100);
    const isDevice = type === 0x33 || type === 0x34;
    const size = number('size', 124, 12);
    if (size < 0) throw new LayerFormatError('the layer has a member of negative size');
    return {
      name: record('path') ?? name,
      linkName: record('linkpath') ?? text(157, 100),
      mode: numberAt(block, 100, 8),
      uid: number('uid', 108, 8),
      gid: number('gid', 116, 8),
      size,
      mtime: number('mtime', 136, 12),
      type,
      userName: record('uname') ?? (hasUsers ? text(265, 32) : Buffer.alloc(0)),
      groupName: record('gname') ?? (hasUsers ? text(297, 32) : Buffer.alloc(0)),
      devMajor: isDevice ? numberAt(block, 329, 8) : 0,
      devMinor: isDevice ? numberAt(block, 337, 8) : 0,
      xattrs: new Map(
        [...this.#records].flatMap(([key, value]) =>
          key.startsWith(XATTR) ? [[key.slice(XATTR.length), value] as const] : [],
        ),
      ),
    };
  }
}

function* paxRecords(body: Buffer): Generator<[string, Buffer]> {
  for (let at = 0; at < body.length;) {
    const blank = body.indexOf(0x20, at);
    const length = blank < 0 ? NaN : Number(body.toString('latin1', at, blank));
    const equals = body.indexOf(0x3d, blank);
    if (!(length > 0) || at + length > body.length || equals < 0 || equals >= at + length)
      throw new LayerFormatError('the layer has a malformed PAX header');
    yield [body.toString('utf8', blank + 1, equals), body.subarray(equals + 1, at + length - 1)];
    at += length;
  }
}

function checkBlock(block: Buffer): void {
  let sum = 8 * 0x20;
  let signed = sum;
  block.forEach((byte, at) => {
    if (at >= 148 && at < 156) return;
    sum += byte;
    signed += byte > 127 ? byte - 256 : byte;
  });
  const stated = numberAt(block, 148, 8);
  if (stated !== sum && stated !== signed) throw new LayerFormatError('the layer is not a tar archive');
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Octal text, or base-256 after a byte with its high bit set; 0 for an empty field. */
function numberAt(block: Buffer, at: number, length: number): number {
  const first = block[at]!;
  if (first >= 0x80) {
    const negative = (first & 0x40) !== 0;
    let value = (first & 0x3f) - (negative ? 0x40 : 0);
    for (let index = at + 1; index < at + length; index += 1) value = value * 256 + block[index]!;
    return value;
  }
  const text = block
    .toString('latin1', at, at + length)
    .replace(/\0[\s\S]*$/, '')
    .trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
}
