import { UsageError } from '../errors.js';

/** How bytes are compressed, as far as their beginning tells. */
export type KnownCompression = 'gzip' | 'zstd' | 'bzip2' | 'xz' | 'lz4';

/** Bytes that `compressionOfBytes` looks at. */
export const COMPRESSION_HEAD_BYTES = 6;

/** In hex; zstd's second is that of skippable frames. */
const MAGIC: readonly (readonly [compression: KnownCompression, begins: RegExp])[] = [
  ['gzip', /^1f8b/],
  ['zstd', /^(?:28b52ffd|5.2a4d18)/],
  ['bzip2', /^425a683[1-9]/],
  ['xz', /^fd377a585a00/],
  ['lz4', /^04224d18/],
];

/** The compression of what begins with `head`; undefined: none that is known. */
export function compressionOfBytes(head: Uint8Array): KnownCompression | undefined {
  const hex = Buffer.from(head.subarray(0, COMPRESSION_HEAD_BYTES)).toString('hex');
  return MAGIC.find(([, begins]) => begins.test(hex))?.[0];
}

const MAX_LEVEL = { gzip: 9, zstd: 22 } as const;

/** Reads how layers are to be compressed: `gzip` or `zstd`, with `:LEVEL` or without. Throws UsageError. */
export function parseCompression(text: string): { readonly kind: 'gzip' | 'zstd'; readonly level: number | undefined } {
  const match = /^(gzip|zstd)(?::(\d{1,2}))?$/.exec(text);
  const kind = match?.[1] as 'gzip' | 'zstd' | undefined;
  const level = match?.[2] === undefined ? undefined : Number(match[2]);
  if (kind !== undefined && (level === undefined || (level >= 1 && level <= MAX_LEVEL[kind]))) return { kind, level };
  throw new UsageError(`compression ${JSON.stringify(text.slice(0, 100))} is not known`, {
    hint: 'use gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:22',
  });
}
