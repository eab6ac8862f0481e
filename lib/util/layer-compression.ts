import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import { CommandError, LayerFormatError } from '../errors.js';
import { COMPRESSION_HEAD_BYTES, compressionOfBytes, EMPTY_LAYER } from '../spec/index.js';
import { filterProcess } from './filter-process.js';

/** A layer with a compression that OCI and Docker images allow. */
interface SupportedLayer {
  readonly bytes: AsyncIterable<Buffer>;
  /** True when the bytes differ from those of the source. */
  readonly converted: boolean;
  /** Closes the source. */
  readonly close: () => Promise<void>;
}

const FOREIGN = [
  { name: 'xz', argv: ['xz', '--decompress', '--stdout'], package: 'xz-utils' },
  { name: 'bzip2', argv: ['bzip2', '--decompress', '--stdout'], package: 'bzip2' },
] as const;

/**
 * Passes gzip, zstd and plain tars through unchanged. Converts xz and bzip2 to gzip with the programs of those names,
 * and an empty layer to an empty tar. Fails with LayerFormatError, CommandError (the program is missing), and the
 * errors of the source.
 */
export async function gzipUnsupported(source: AsyncIterable<Buffer>, signal: AbortSignal): Promise<SupportedLayer> {
  const chunks = source[Symbol.asyncIterator]();
  const head: Buffer[] = [];
  let length = 0;
  let ended = false;
  while (length < COMPRESSION_HEAD_BYTES && !ended) {
    const next = await chunks.next();
    ended = next.done === true;
    if (next.done !== true) {
      head.push(next.value);
      length += next.value.length;
    }
  }
  const close = async (): Promise<void> => void (await chunks.return?.());
  if (length === 0) return { bytes: only(EMPTY_LAYER), converted: true, close };
  const whole = async function* (): AsyncGenerator<Buffer> {
    yield* head;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  const compression = compressionOfBytes(Buffer.concat(head));
  const foreign = FOREIGN.find(({ name }) => name === compression);
  if (foreign === undefined) return { bytes: whole(), converted: false, close };
  const tar = decompressed(
    filterProcess(foreign.argv, whole(), { signal, hint: `install the Debian package ${foreign.package}` }),
    foreign.name,
  );
  return { bytes: gzipped(tar), converted: true, close };
}

// oxlint-disable-next-line typescript/require-await
async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function* decompressed(source: AsyncGenerator<Buffer>, name: string): AsyncGenerator<Buffer> {
  try {
    yield* source;
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode === undefined) throw error;
    throw new LayerFormatError(`the ${name} layer is corrupt: ${error.message}`, { cause: error });
  }
}

async function* gzipped(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip({ level: 6 });
  const feeding = (async () => {
    try {
      for await (const chunk of source) if (!gzip.write(chunk)) await once(gzip, 'drain');
      gzip.end();
    } catch (error) {
      gzip.destroy(error as Error);
    }
  })();
  try {
    yield* gzip as AsyncIterable<Buffer>;
  } finally {
    gzip.destroy();
    await source.return(undefined);
    await feeding;
  }
}
