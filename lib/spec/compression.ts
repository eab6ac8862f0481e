import { UsageError } from '../errors.js';

/** A compression that can be detected from the first bytes. */
export type KnownCompression = 'gzip' | 'zstd' | 'bzip2' | 'xz' | 'lz4';

/** The number of bytes examined by `compressionOfBytes`. */
export const COMPRESSION_HEAD_BYTES = 6;

/** In hex. zstd's second number is that of skippable frames. */
const MAGIC: readonly (readonly [compression: KnownCompression, begins: RegExp])[] = [
  ['gzip', /^1f8b/],
  ['zstd', /^(?:28b52ffd|5.2a4d18)/],
  ['bzip2', /^425a683[1-9]/],
  ['xz', /^fd377a585a00/],
  ['lz4', /^04224d18/],
];

/** The compression of data that begins with `head`; undefined when unknown. */
export function compressionOfBytes(head: Uint8Array): KnownCompression | undefined {
  const hex = Buffer.from(head.subarray(0, COMPRESSION_HEAD_BYTES)).toString('hex');
  return MAGIC.find(([, begins]) => begins.test(hex))?.[0];
}

const MAX_LEVEL = { gzip: 9, zstd: 22 } as const;

/** Parses the compression for layers: `gzip` or `zstd`, optionally with `:LEVEL`. Throws UsageError. */
export function parseCompression(text: string): { readonly kind: 'gzip' | 'zstd'; readonly level: number | undefined } {
  const match = /^(gzip|zstd)(?::(\d{1,2}))?$/.exec(text);
  const kind = match?.[1] as 'gzip' | 'zstd' | undefined;
  const level = match?.[2] === undefined ? undefined : Number(match[2]);
  if (kind !== undefined && (level === undefined || (level >= 1 && level <= MAX_LEVEL[kind]))) return { kind, level };
  throw new UsageError(`unknown compression ${JSON.stringify(text.slice(0, 100))}`, {
    hint: 'use gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:22',
  });
}
