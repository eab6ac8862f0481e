import { constants, crc32, deflateRawSync } from 'node:zlib';

/** How a gzip member is written. */
export interface GzipMemberOptions {
  /** Of deflate, 0 (stored) to 9. Default 6. */
  readonly level?: number;
  /** Blocks with the fixed code of deflate only. */
  readonly fixedCode?: boolean;
  readonly extra?: Uint8Array;
  readonly name?: string;
  readonly comment?: string;
  /** A checksum of the header, right unless a number is given. */
  readonly headerCrc?: boolean | number;
  readonly crc?: number;
  readonly size?: number;
  readonly method?: number;
  readonly flags?: number;
}

/** One gzip member (RFC 1952) with `data` in it, fields wrong where asked for. */
export function gzipMember(data: Uint8Array, options: GzipMemberOptions = {}): Buffer {
  const { level = 6, extra, name, comment, headerCrc, method = 8 } = options;
  const flags =
    (headerCrc === undefined ? 0 : 2) |
    (extra ? 4 : 0) |
    (name === undefined ? 0 : 8) |
    (comment === undefined ? 0 : 16);
  const parts: Buffer[] = [Buffer.from([0x1f, 0x8b, method, options.flags ?? flags, 0, 0, 0, 0, 0, 3])];
  if (extra !== undefined) parts.push(word(extra.length, 2), Buffer.from(extra));
  for (const text of [name, comment]) if (text !== undefined) parts.push(Buffer.from(`${text}\0`, 'latin1'));
  if (headerCrc !== undefined)
    parts.push(word(typeof headerCrc === 'number' ? headerCrc : crc32(Buffer.concat(parts)) & 0xffff, 2));
  const strategy = options.fixedCode === true ? constants.Z_FIXED : constants.Z_DEFAULT_STRATEGY;
  parts.push(deflateRawSync(data, { level, strategy }));
  parts.push(word(options.crc ?? crc32(data), 4), word(options.size ?? data.length % 2 ** 32, 4));
  return Buffer.concat(parts);
}

function word(value: number, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  out.writeUIntLE(value, 0, bytes);
  return out;
}
