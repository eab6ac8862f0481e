/** How bytes are compressed, as far as their beginning tells. */
export type KnownCompression = 'gzip' | 'zstd' | 'bzip2' | 'xz' | 'lz4';

/** Bytes that `compressionOf` looks at. */
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
export function compressionOf(head: Uint8Array): KnownCompression | undefined {
  const hex = Buffer.from(head.subarray(0, COMPRESSION_HEAD_BYTES)).toString('hex');
  return MAGIC.find(([, begins]) => begins.test(hex))?.[0];
}
