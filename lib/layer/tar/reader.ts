import { LayerFormatError } from '../../errors.js';
import { displayPath } from '../../sys/index.js';
import { MAX_EXTENSION_BYTES, MAX_SPARSE_REGIONS } from '../limits.js';
import type { ByteWindows } from './byte-windows.js';
import { readPaxRecords, type PaxValues } from './extension.js';
import { HeaderDecoder, refuseMember, type SaidBefore } from './header-decoder.js';
import { BLOCK_BYTES, FIELD, GNU_SPARSE, isChecksumRight, parseNumber, sumOfBlock, TYPE } from './header.js';
import { checkSparseMap, readGnuRegions } from './sparse.js';

/**
 * Reads the members of a tar stream synchronously, without allocations for plain ones. Accepts what GNU tar accepts and
 * reads the same members from it, or throws LayerFormatError.
 */
export class TarReader {
  readonly #decoder = new HeaderDecoder();
  readonly entry = this.#decoder.entry;
  #windows: ByteWindows;
  /** Unread data of the current member, and its padding. */
  #left = 0;
  #padding = 0;
  /** Data that may follow the hard link just read. Bytes. */
  #linkData = 0;
  #scratch = Buffer.alloc(4096);
  #global: PaxValues = {};
  #pax: PaxValues | undefined;
  #longName: Buffer | undefined;
  #longLink: Buffer | undefined;
  readonly #said: { -readonly [K in keyof SaidBefore]: SaidBefore[K] } = {
    pax: this.#global,
    longName: undefined,
    longLink: undefined,
  };

  constructor(windows: ByteWindows) {
    this.#windows = windows;
  }

  /** Advances to the next member, described by `entry`. Returns false at the end of the archive. */
  next(): boolean {
    this.#skip(this.#left);
    this.#skipPadding(this.#padding);
    this.#left = this.#padding = 0;
    this.#pax = this.#longName = this.#longLink = undefined;
    for (;;) {
      const at = this.#block();
      if (at < 0) {
        if (this.#pax ?? this.#longName ?? this.#longLink) this.#truncated();
        return false;
      }
      const windows = this.#windows;
      const sum = sumOfBlock(windows.words, at);
      if (sum === 0) {
        if (this.#pax ?? this.#longName ?? this.#longLink) this.#refuse('an extended header without its member');
        this.#checkSecondZeroBlock();
        return false;
      }
      if (!isChecksumRight(windows.bytes, at, sum)) {
        if (this.#skipLinkData()) continue;
        throw new LayerFormatError('the layer is not a valid tar archive: wrong checksum of a header', {
          entry: this.#lastName(),
        });
      }
      this.#linkData = 0;
      const type = windows.bytes[at + FIELD.type[0]]!;
      if (type === TYPE.gnuVolumeLabel) {
        this.#skipLabel(at);
      } else if (
        type === TYPE.pax ||
        type === TYPE.paxGlobal ||
        type === TYPE.gnuLongName ||
        type === TYPE.gnuLongLink
      ) {
        this.#readExtension(type, at);
      } else {
        this.#readHeader(at);
        return true;
      }
    }
  }

  /**
   * The next piece of the current member's data: up to `max` bytes at `windows.start`, which the caller must read
   * before the next call. Returns its length, or 0 at the end of the data.
   */
  data(max = Infinity): number {
    return this.entry.type === TYPE.file ? this.#take(max) : 0;
  }
  /** Number of bytes at `windows.start` that the caller is still reading. */
  #piece = 0;

  #take(max = Infinity): number {
    if (this.#left === 0 || max === 0) return 0;
    const windows = this.#windows;
    windows.start += this.#piece;
    this.#piece = 0;
    while (windows.start === windows.end) if (!windows.advance()) this.#truncated();
    const length = Math.min(this.#left, windows.end - windows.start, max);
    this.#piece = length;
    this.#left -= length;
    return length;
  }

  /** Reads the rest of the stream after the last member. Returns the number of bytes skipped, and whether any of them was not zero. */
  drain(limit: number): { readonly skipped: number; readonly nonZero: boolean } {
    const windows = this.#windows;
    let skipped = 0;
    let nonZero = false;
    for (;;) {
      for (let at = windows.start; at < windows.end && !nonZero; at += 1) nonZero = windows.bytes[at] !== 0;
      skipped += windows.end - windows.start;
      windows.start = windows.end;
      if (skipped > limit) throw new LayerFormatError(`the layer has more than ${limit} bytes after its tar archive`);
      if (!windows.advance()) return { skipped, nonZero };
    }
  }

  /** Consumes the next 512 bytes and returns their position in `windows.bytes`; -1 at the end of the stream. */
  #block(): number {
    const windows = this.#windows;
    windows.start += this.#piece;
    this.#piece = 0;
    if (windows.start === windows.end && !windows.advance()) return -1;
    if (windows.end - windows.start < BLOCK_BYTES) this.#truncated();
    const at = windows.start;
    windows.start += BLOCK_BYTES;
    return at;
  }

  /**
   * GNU tar and Go read no data after a hard link, whatever its size field; POSIX permits data. The next block
   * therefore counts as data only if it is not a header.
   */
  #skipLinkData(): boolean {
    if (this.#linkData === 0) return false;
    this.#windows.start -= BLOCK_BYTES;
    this.#skip(this.#linkData + paddingOf(this.#linkData));
    this.#linkData = 0;
    return true;
  }

  #skip(count: number): void {
    if (this.#skipUpTo(count) > 0) this.#truncated();
  }

  /** Missing padding counts as read, because an archive may end with the last byte of its last member. */
  #skipPadding(count: number): void {
    this.#skipUpTo(count);
  }

  /** Number of bytes that are missing because the archive ends. */
  #skipUpTo(count: number): number {
    const windows = this.#windows;
    windows.start += this.#piece;
    this.#piece = 0;
    let left = count;
    while (left > 0) {
      const step = Math.min(left, windows.end - windows.start);
      windows.start += step;
      left -= step;
      if (left > 0 && !windows.advance()) return left;
    }
    return 0;
  }

  /** Skips a volume label: the name of a tape is irrelevant to files. */
  #skipLabel(at: number): void {
    const size = parseNumber(this.#windows.bytes, at + FIELD.size[0], FIELD.size[1]);
    if (size > 0) this.#refuse('a volume label with data');
    if (this.#pax ?? this.#longName ?? this.#longLink) this.#refuse('an extended header without its member');
  }

  #checkSecondZeroBlock(): void {
    const at = this.#block();
    if (at >= 0 && sumOfBlock(this.#windows.words, at) !== 0)
      throw new LayerFormatError('the layer is not a valid tar archive: a lone block of zeros between members');
  }

  #readExtension(type: number, at: number): void {
    const size = parseNumber(this.#windows.bytes, at + FIELD.size[0], FIELD.size[1]);
    if (!(size >= 0 && size <= MAX_EXTENSION_BYTES)) this.#refuse('the extended header has an impossible size');
    if (type === TYPE.gnuLongName || type === TYPE.gnuLongLink) {
      const name = this.#readLongName(size);
      if (type === TYPE.gnuLongName) this.#longName = name;
      else this.#longLink = name;
      return;
    }
    const data = this.#collect(size);
    if (type === TYPE.paxGlobal) {
      readPaxRecords(data, this.#global);
    } else {
      // As in GNU tar and Go, a second header replaces the first as a whole.
      this.#pax = {};
      readPaxRecords(data, this.#pax);
    }
  }

  #readLongName(size: number): Buffer {
    const data = this.#collect(size + paddingOf(size));
    const nul = data.indexOf(0);
    const end = nul < 0 ? data.length : nul;
    // GNU tar reads to the next NUL, other readers stop at the size.
    if (end > size) this.#refuse('a GNU long name that is longer than its size');
    if (end === 0) this.#refuse('an empty GNU long name');
    return Buffer.from(data.subarray(0, end));
  }

  /** Reads `size` bytes and their padding. The view is valid until the next call. */
  #collect(size: number): Buffer {
    if (this.#scratch.length < size) this.#scratch = Buffer.alloc(size);
    this.#left = size;
    this.#padding = paddingOf(size);
    for (let filled = 0, length = this.#take(); length > 0; length = this.#take()) {
      const { bytes, start } = this.#windows;
      this.#scratch.set(bytes.subarray(start, start + length), filled);
      filled += length;
    }
    this.#skip(this.#padding);
    this.#padding = 0;
    return this.#scratch.subarray(0, size);
  }

  #readHeader(at: number): void {
    const { entry } = this;
    const pax = this.#pax === undefined ? this.#global : { ...this.#global, ...this.#pax };
    const said = this.#said;
    said.pax = pax;
    said.longName = this.#longName;
    said.longLink = this.#longLink;
    const size = this.#decoder.decode(this.#windows.bytes, at, said);
    // The data of a GNU dump directory belongs to no file.
    this.#left = this.#windows.bytes[at + FIELD.type[0]] === TYPE.gnuDumpDir ? size : entry.size;
    this.#padding = paddingOf(this.#left);
    this.#linkData = entry.type === TYPE.hardLink ? size : 0;
    if (entry.type !== TYPE.file) return;
    if (this.#windows.bytes[at + FIELD.type[0]] === TYPE.gnuSparse) this.#readOldSparse(at);
    else if (isSparse(pax)) this.#readPaxSparse(pax);
  }

  #readOldSparse(at: number): void {
    const entry = this.entry;
    let { bytes } = this.#windows;
    const map: number[] = [];
    readGnuRegions(bytes, at + GNU_SPARSE.regions, GNU_SPARSE.regionsInHeader, map);
    entry.realSize = parseNumber(bytes, at + GNU_SPARSE.realSize, 12);
    if (!(entry.realSize >= 0 && entry.realSize <= Number.MAX_SAFE_INTEGER)) this.#refuse('the size is not a number');
    let extended = bytes[at + GNU_SPARSE.extended] !== 0;
    // The name must outlive the following blocks, because the window may move.
    if (extended) this.#keepNames();
    while (extended) {
      const block = this.#block();
      if (block < 0) this.#truncated();
      bytes = this.#windows.bytes;
      const before = map.length;
      readGnuRegions(bytes, block, GNU_SPARSE.regionsInExtension, map);
      extended = bytes[block + GNU_SPARSE.extensionExtended] !== 0;
      if (extended && map.length === before) this.#refuse('the map of a sparse file is invalid');
    }
    checkSparseMap(map, entry.size, entry.realSize);
    entry.sparse = map;
  }

  #readPaxSparse(pax: PaxValues): void {
    const entry = this.entry;
    if (pax.sparseRealSize === undefined) this.#refuse('a sparse file without its size');
    entry.realSize = pax.sparseRealSize!;
    let map = pax.sparseMap ?? [];
    if (pax.sparseMajor === 1 && pax.sparseMinor === 0) {
      this.#keepNames();
      map = this.#readSparseMapInData();
    } else if ((pax.sparseMajor ?? 0) !== 0) {
      this.#refuse('a sparse file of an unknown format');
    }
    checkSparseMap(map, entry.size, entry.realSize);
    entry.sparse = map;
  }

  /** Format 1.0: the number of regions, then offset and length of each, one decimal number per line, padded to a block. */
  #readSparseMapInData(): number[] {
    const map: number[] = [];
    let wanted = -1;
    let number = 0;
    let digits = 0;
    while (wanted < 0 || map.length < wanted) {
      const length = this.data(BLOCK_BYTES);
      if (length < BLOCK_BYTES) this.#refuse('the map of a sparse file is invalid');
      const { bytes, start } = this.#windows;
      for (let index = start; index < start + length && (wanted < 0 || map.length < wanted); index += 1) {
        const byte = bytes[index]!;
        if (byte >= 0x30 && byte <= 0x39 && digits < 16) {
          number = number * 10 + byte - 0x30;
          digits += 1;
        } else if (byte === 0x0a && digits > 0) {
          if (wanted < 0) wanted = 2 * number;
          else map.push(number);
          if (wanted > 2 * MAX_SPARSE_REGIONS) this.#refuse('a sparse file has too many regions');
          number = digits = 0;
        } else {
          this.#refuse('the map of a sparse file is invalid');
        }
      }
    }
    this.entry.size = this.#left;
    return map;
  }

  /** Copies names that lie in the window before it moves. */
  #keepNames(): void {
    const entry = this.entry;
    const name = entry.name();
    const link = entry.linkName();
    entry.nameBytes = name;
    entry.nameStart = 0;
    entry.nameEnd = name.length;
    entry.linkBytes = link;
    entry.linkStart = 0;
    entry.linkEnd = link.length;
  }

  #lastName(): string | undefined {
    const { nameBytes, nameStart, nameEnd } = this.entry;
    // A name in the window has been overwritten by now.
    return nameBytes === this.#windows.bytes || nameEnd === 0
      ? undefined
      : displayPath(nameBytes.subarray(nameStart, nameEnd));
  }

  #truncated(): never {
    throw new LayerFormatError('the layer is truncated: its tar archive ends inside a member');
  }

  #refuse(reason: string): never {
    return refuseMember(this.entry, reason);
  }
}

function paddingOf(size: number): number {
  const rest = size % BLOCK_BYTES;
  return rest === 0 ? 0 : BLOCK_BYTES - rest;
}

function isSparse(pax: PaxValues): boolean {
  return pax.sparseMap !== undefined || pax.sparseMajor !== undefined || pax.sparseRealSize !== undefined;
}
