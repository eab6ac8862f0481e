import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ArchiveFormatError, UnsupportedMediaTypeError } from '../errors.js';
import { compressionOfBytes, MEDIA_TYPE } from '../spec/index.js';
import { addressOf, ZstdDecompress } from '../sys/index.js';
import { EXPANSION_FLOOR, MAX_EXPANSION } from './limits.js';

/** Compression as detected from the first bytes. */
export type Compression = 'gzip' | 'zstd' | 'none';

/** Media types for layers that have none. */
export const LAYER_TYPE: Readonly<Record<Compression, string>> = {
  none: MEDIA_TYPE.dockerLayer,
  gzip: MEDIA_TYPE.dockerLayerGzip,
  zstd: MEDIA_TYPE.ociLayerZstd,
};

const OUTPUT_BYTES = 256 * 1024;

/** Detects the compression. Throws UnsupportedMediaTypeError for bzip2, xz and lz4. */
export function detectCompression(head: Uint8Array, title: string): Compression {
  const found = compressionOfBytes(head);
  if (found === undefined) return 'none';
  if (found === 'gzip' || found === 'zstd') return found;
  throw new UnsupportedMediaTypeError(`${title} is compressed with ${found}, which imgtool cannot read`, {
    mediaType: `application/x-${found}`,
    hint: 'decompress it first',
  });
}

/** Decompresses `source`. The stream throws ArchiveFormatError, UnsupportedMediaTypeError (libzstd is missing). */
export function decompress(source: Readable, compression: Compression, title: string): Readable {
  if (compression === 'none') return source;
  let compressed = 0;
  const counted = Readable.from(
    (async function* () {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        compressed += chunk.length;
        yield chunk;
      }
    })(),
    { objectMode: false },
  );
  return Readable.from(
    (async function* () {
      let size = 0;
      for await (const chunk of compression === 'gzip' ? gunzip(counted, title) : unzstd(counted, title)) {
        size += chunk.length;
        if (size > EXPANSION_FLOOR && size > compressed * MAX_EXPANSION) {
          throw new ArchiveFormatError(
            `${title} expands to over ${MAX_EXPANSION} times its size: a decompression bomb`,
          );
        }
        yield chunk;
      }
    })(),
    { objectMode: false },
  );
}

async function* gunzip(source: Readable, title: string): AsyncGenerator<Buffer> {
  const engine = createGunzip({ chunkSize: OUTPUT_BYTES });
  source.on('error', (error) => engine.destroy(error));
  try {
    yield* source.pipe(engine) as AsyncIterable<Buffer>;
  } catch (error) {
    if (!((error as NodeJS.ErrnoException).code ?? '').startsWith('Z_')) throw error;
    throw new ArchiveFormatError(`${title} is damaged: ${(error as Error).message}`, { cause: error });
  } finally {
    source.destroy();
  }
}

async function* unzstd(source: Readable, title: string): AsyncGenerator<Buffer> {
  const engine = ZstdDecompress.load();
  if (engine === undefined) {
    throw new UnsupportedMediaTypeError(`${title} is compressed with zstd and libzstd.so.1 is not installed`, {
      mediaType: 'application/zstd',
      hint: 'install the Debian package libzstd1',
    });
  }
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      for (let used = 0, full = false; used < chunk.length || full;) {
        // The reader may keep a yielded piece, so each has its own memory.
        const output = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
        const problem = engine.step(addressOf(chunk) + used, chunk.length - used, addressOf(output), output.length);
        if (problem !== undefined) throw new ArchiveFormatError(`${title} is damaged: ${problem}`);
        used += engine.consumed;
        full = engine.produced === output.length;
        if (engine.produced > 0) yield output.subarray(0, engine.produced);
      }
    }
    if (!engine.frameDone) throw new ArchiveFormatError(`${title} is damaged: it ends too early`);
  } finally {
    engine.close();
  }
}
