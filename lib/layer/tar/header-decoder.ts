import { LayerFormatError } from '../../errors.js';
import { displayPath } from '../../sys/index.js';
import type { PaxValues } from './extension.js';
import { FIELD, isBlank, parseNumber, TYPE } from './header.js';
import { NO_XATTRS, TarMember } from './member.js';

const NONE: readonly string[] = [];
const MAX_ID = 0xffff_fffe;
/** "ustar" and NUL. Headers with GNU's "ustar  " have other fields in place of the POSIX prefix. */
const POSIX_MAGIC = [0x75, 0x73, 0x74, 0x61, 0x72, 0];
const GNU_MAGIC = [0x75, 0x73, 0x74, 0x61, 0x72, 0x20, 0x20, 0];

/** The values of the extended headers that precede a header. */
export interface SaidBefore {
  /** Global records, overridden by the member's own. */
  readonly pax: PaxValues;
  /** From a GNU header of type `L` or `K`. */
  readonly longName: Buffer | undefined;
  readonly longLink: Buffer | undefined;
}

/** Decodes header blocks into members. Reuses one `entry`. */
export class HeaderDecoder {
  readonly entry = new TarMember();
  readonly #joined = new Uint8Array(256);
  #bytes: Uint8Array = new Uint8Array(0);

  /**
   * Fills `entry` from the header at `bytes[at]` and from the extended headers before it; ignores sparse maps. Returns
   * the stated size, even for members without data. Throws LayerFormatError.
   */
  decode(bytes: Uint8Array, at: number, said: SaidBefore): number {
    const { entry } = this;
    const { pax } = said;
    const rawType = bytes[at + FIELD.type[0]]!;
    this.#bytes = bytes;
    this.#setNames(at, said);
    const mode = this.#number(at, 'mode');
    if (!(mode >= 0 && mode <= 0xffff_ffff)) this.#refuse('the mode is out of range');
    entry.mode = mode & 0o7777;
    entry.uid = pax.uid ?? this.#number(at, 'uid');
    entry.gid = pax.gid ?? this.#number(at, 'gid');
    if (!(entry.uid >= 0 && entry.uid <= MAX_ID && entry.gid >= 0 && entry.gid <= MAX_ID))
      this.#refuse('the owner is out of range');
    if (pax.mtime === undefined) {
      entry.mtimeSeconds = this.#number(at, 'mtime');
      entry.mtimeNanos = 0;
    } else {
      entry.mtimeSeconds = pax.mtime.seconds;
      entry.mtimeNanos = pax.mtime.nanos;
    }
    if (!Number.isSafeInteger(entry.mtimeSeconds)) this.#refuse('the modification time is out of range');
    entry.xattrs = pax.xattrs ?? NO_XATTRS;
    entry.lostXattrs = pax.lostXattrs ?? NONE;
    entry.sparse = undefined;
    const size = pax.size ?? parseNumber(bytes, at + FIELD.size[0], FIELD.size[1]);
    if (!(size >= 0 && size <= Number.MAX_SAFE_INTEGER)) this.#refuse('the size is not a valid number');
    entry.type = this.#kind(rawType, size);
    entry.size = entry.realSize = entry.type === TYPE.file ? size : 0;
    if (entry.type === TYPE.charDevice || entry.type === TYPE.blockDevice) {
      if (!hasMagic(bytes, at, POSIX_MAGIC) && !hasMagic(bytes, at, GNU_MAGIC))
        this.#refuse('a device in a header of a format without device numbers');
      entry.devMajor = this.#number(at, 'devMajor');
      entry.devMinor = this.#number(at, 'devMinor');
      if (!(entry.devMajor >= 0 && entry.devMajor < 0x1000 && entry.devMinor >= 0 && entry.devMinor < 0x10_0000))
        this.#refuse('the device number is out of range');
    }
    if (rawType === TYPE.gnuSparse && !hasMagic(bytes, at, GNU_MAGIC))
      this.#refuse('an old GNU sparse file in a header that is not GNU’s');
    return size;
  }

  /** The type as used in `TarMember`, with historic variants mapped. */
  #kind(raw: number, size: number): number {
    const entry = this.entry;
    switch (raw) {
      case TYPE.oldFile:
      case TYPE.file:
      case TYPE.contiguous:
        if (entry.nameEnd === entry.nameStart || entry.nameBytes[entry.nameEnd - 1] !== 0x2f) return TYPE.file;
        // v7 had no type for directories; a trailing slash marks them. In later formats, a member with data is a file.
        return size > 0 && raw !== TYPE.oldFile ? TYPE.file : TYPE.directory;
      case TYPE.gnuDumpDir:
        return TYPE.directory;
      case TYPE.gnuSparse:
        return TYPE.file;
      case TYPE.hardLink:
      case TYPE.symlink:
      case TYPE.charDevice:
      case TYPE.blockDevice:
      case TYPE.directory:
      case TYPE.fifo:
        return raw;
      default:
        return this.#refuse(`a member of the unknown type 0x${raw.toString(16)}`);
    }
  }

  #setNames(at: number, { pax, longName, longLink }: SaidBefore): void {
    const { entry } = this;
    const bytes = this.#bytes;
    const name = pax.sparseName ?? pax.path;
    if (name !== undefined && longName !== undefined && !name.equals(longName))
      this.#refuse('PAX and GNU give one member different names');
    if (pax.linkPath !== undefined && longLink !== undefined && !pax.linkPath.equals(longLink))
      this.#refuse('PAX and GNU give one member different link targets');
    const long = name ?? longName;
    if (long !== undefined) {
      entry.nameBytes = long;
      entry.nameStart = 0;
      entry.nameEnd = long.length;
    } else {
      entry.nameBytes = bytes;
      entry.nameStart = at;
      entry.nameEnd = endOfText(bytes, at, FIELD.name[1]);
      if (bytes[at + FIELD.prefix[0]] !== 0 && hasMagic(bytes, at, POSIX_MAGIC)) this.#joinPrefix(at);
    }
    const link = pax.linkPath ?? longLink;
    if (link !== undefined) {
      entry.linkBytes = link;
      entry.linkStart = 0;
      entry.linkEnd = link.length;
    } else {
      entry.linkBytes = bytes;
      entry.linkStart = at + FIELD.linkName[0];
      entry.linkEnd = endOfText(bytes, entry.linkStart, FIELD.linkName[1]);
    }
  }

  #joinPrefix(at: number): void {
    const entry = this.entry;
    const bytes = this.#bytes;
    const prefixStart = at + FIELD.prefix[0];
    const prefixEnd = endOfText(bytes, prefixStart, FIELD.prefix[1]);
    const joined = this.#joined;
    let length = 0;
    for (let index = prefixStart; index < prefixEnd; index += 1) joined[length++] = bytes[index]!;
    joined[length++] = 0x2f;
    for (let index = entry.nameStart; index < entry.nameEnd; index += 1) joined[length++] = bytes[index]!;
    entry.nameBytes = joined;
    entry.nameStart = 0;
    entry.nameEnd = length;
  }

  #number(at: number, field: 'mode' | 'uid' | 'gid' | 'mtime' | 'devMajor' | 'devMinor'): number {
    const [offset, length] = FIELD[field];
    const bytes = this.#bytes;
    const value = parseNumber(bytes, at + offset, length);
    if (!Number.isNaN(value)) return value;
    if (isBlank(bytes, at + offset, length)) return 0;
    return this.#refuse(`the field ${field} is not a number`);
  }

  #refuse(reason: string): never {
    return refuseMember(this.entry, reason);
  }
}

/** Throws the LayerFormatError for an invalid member. */
export function refuseMember(entry: TarMember, reason: string): never {
  const name = displayPath(entry.name());
  throw new LayerFormatError(`the layer has an invalid member: ${reason}${name === '' ? '' : ` (${name})`}`, {
    entry: name,
  });
}

function endOfText(bytes: Uint8Array, at: number, length: number): number {
  const end = at + length;
  let index = at;
  while (index < end && bytes[index] !== 0) index += 1;
  return index;
}

function hasMagic(bytes: Uint8Array, at: number, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[at + FIELD.magic[0] + index] === byte);
}
