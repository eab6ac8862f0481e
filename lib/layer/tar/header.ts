/**
 * The 512-byte block that starts every member: v7, ustar (POSIX.1-1988) and GNU, which share the field positions.
 * Numbers are octal text or, in GNU's extension, big-endian two's complement after a byte 0x80 or 0xff ("base-256").
 */
export const BLOCK_BYTES = 512;

/** Offset and length of each field. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

/** Positions in an old GNU sparse header (type `S`) and in its extension blocks. */
export const GNU_SPARSE = {
  regions: 386,
  regionsInHeader: 4,
  extended: 482,
  realSize: 483,
  regionBytes: 24,
  regionsInExtension: 21,
  extensionExtended: 504,
} as const;

/** Type flags (byte 156). */
export const TYPE = {
  oldFile: 0,
  file: 0x30,
  hardLink: 0x31,
  symlink: 0x32,
  charDevice: 0x33,
  blockDevice: 0x34,
  directory: 0x35,
  fifo: 0x36,
  contiguous: 0x37,
  gnuDumpDir: 0x44,
  gnuLongLink: 0x4b,
  gnuLongName: 0x4c,
  gnuSparse: 0x53,
  gnuVolumeLabel: 0x56,
  paxGlobal: 0x67,
  pax: 0x78,
} as const;

/**
 * Parses the number in `length` bytes at `at`. `NaN` for an empty field or an invalid character. Exact up to 2^53;
 * Infinity beyond.
 */
export function parseNumber(bytes: Uint8Array, at: number, length: number): number {
  const mark = bytes[at]!;
  if (mark > 127) return mark === 0x80 || mark === 0xff ? parseBase256(bytes, at, length) : NaN;
  const end = at + length;
  let index = at;
  while (index < end && bytes[index] === 0x20) index += 1;
  let value = 0;
  const first = index;
  for (; index < end; index += 1) {
    const digit = bytes[index]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  if (index === first) return NaN;
  if (index < end && bytes[index] !== 0 && bytes[index] !== 0x20) return NaN;
  return value;
}

function parseBase256(bytes: Uint8Array, at: number, length: number): number {
  const negative = (bytes[at]! & 0x40) !== 0;
  // The bits below the marker 0x80 belong to the number; bit 6 is the sign of the two's complement.
  let value = (bytes[at]! & 0x3f) - (negative ? 0x40 : 0);
  for (let index = at + 1; index < at + length; index += 1) value = value * 256 + bytes[index]!;
  if (value > Number.MAX_SAFE_INTEGER) return Infinity;
  return value < Number.MIN_SAFE_INTEGER ? -Infinity : value;
}

/** True when an octal or base-256 field contains only NULs and spaces. */
export function isBlank(bytes: Uint8Array, at: number, length: number): boolean {
  for (let index = at; index < at + length; index += 1) if (bytes[index] !== 0 && bytes[index] !== 0x20) return false;
  return true;
}

/** The sum of the 512 bytes from `at` (a multiple of 4) in the memory of `words`. */
export function sumOfBlock(words: Uint32Array, at: number): number {
  let even = 0;
  let odd = 0;
  const first = at >>> 2;
  for (let index = first; index < first + 128; index += 1) {
    const word = words[index]!;
    even += word & 0x00ff00ff;
    odd += (word >>> 8) & 0x00ff00ff;
  }
  return (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16);
}

/**
 * True when the checksum of the block at `at` is right. `sum` is the sum of all its bytes. The checksum field itself
 * counts as spaces; historic archives summed signed bytes.
 */
export function isChecksumRight(bytes: Uint8Array, at: number, sum: number): boolean {
  const field = at + FIELD.checksum[0];
  const expected = parseNumber(bytes, field, FIELD.checksum[1]);
  let unsigned = sum + 8 * 0x20;
  for (let index = field; index < field + 8; index += 1) unsigned -= bytes[index]!;
  if (unsigned === expected) return true;
  let signed = unsigned;
  for (let index = at; index < at + BLOCK_BYTES; index += 1)
    if (bytes[index]! > 127 && (index < field || index >= field + 8)) signed -= 256;
  return signed === expected;
}

/** True when `block` (at least 512 bytes) could start a tar archive: a header with the right checksum, or zeros. */
export function isHeaderBlock(block: Uint8Array): boolean {
  if (block.length < BLOCK_BYTES) return false;
  let sum = 0;
  for (let index = 0; index < BLOCK_BYTES; index += 1) sum += block[index]!;
  return sum === 0 || isChecksumRight(block, 0, sum);
}
