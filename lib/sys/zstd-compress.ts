import koffi from 'koffi';

interface Compressor {
  bound(size: number): number;
  compress(out: Uint8Array, outSize: number, input: Uint8Array, size: number, level: number): number;
  isError(code: number): number;
}

let loaded: Compressor | undefined;

function load(): Compressor | undefined {
  if (loaded !== undefined) return loaded;
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libzstd.so.1');
  } catch {
    return undefined;
  }
  loaded = {
    bound: library.func('size_t ZSTD_compressBound(size_t)') as unknown as Compressor['bound'],
    compress: library.func(
      'size_t ZSTD_compress(_Out_ uint8_t *, size_t, const uint8_t *, size_t, int)',
    ) as unknown as Compressor['compress'],
    isError: library.func('uint32_t ZSTD_isError(size_t)') as unknown as Compressor['isError'],
  };
  return loaded;
}

/** True when libzstd is installed, as `zstdFrame` requires. */
export function canCompressZstd(): boolean {
  return load() !== undefined;
}

/**
 * Compresses `input` into one complete zstd frame (RFC 8878) with its content size and without a checksum. The bytes
 * depend on the version of libzstd. Requires `canCompressZstd`. Throws RangeError for a level that libzstd does not
 * support.
 */
export function zstdFrame(input: Uint8Array, level: number): Buffer {
  const library = load();
  if (library === undefined) throw new TypeError('libzstd is not installed');
  const out = Buffer.allocUnsafeSlow(library.bound(input.length));
  const size = library.compress(out, out.length, input, input.length, level);
  if (library.isError(size) !== 0) throw new RangeError(`libzstd cannot compress at level ${level}`);
  return out.subarray(0, size);
}
