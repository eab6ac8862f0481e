import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import { CommandError, LayerFormatError } from '../../errors.js';
import { EMPTY_LAYER } from '../../spec/index.js';
import { filterProcess } from '../../util/index.js';

/** A layer in a form that today's images know. */
export interface ModernLayer {
  readonly bytes: AsyncIterable<Buffer>;
  /** Another form than what came. */
  readonly converted: boolean;
  /** Ends what is left of the source. */
  close(): Promise<void>;
}

const FOREIGN = [
  {
    name: 'xz',
    magic: Buffer.from('fd377a585a00', 'hex'),
    argv: ['xz', '--decompress', '--stdout'],
    package: 'xz-utils',
  },
  { name: 'bzip2', magic: Buffer.from('BZh'), argv: ['bzip2', '--decompress', '--stdout'], package: 'bzip2' },
] as const;
const MAGIC_BYTES = 6;

/**
 * Hands gzip, zstd and plain tars on as they are; xz and bzip2 become gzip, through their programs, and a layer of no bytes
 * becomes the empty tar. Fails with LayerFormatError, CommandError (the program is missing), and as the source does.
 */
export async function modernCompression(source: AsyncGenerator<Buffer>, signal: AbortSignal): Promise<ModernLayer> {
  const head: Buffer[] = [];
  let length = 0;
  let ended = false;
  while (length < MAGIC_BYTES && !ended) {
    const next = await source.next();
    ended = next.done === true;
    if (next.done !== true) {
      head.push(next.value);
      length += next.value.length;
    }
  }
  const close = async (): Promise<void> => void (await source.return(undefined));
  const magic = Buffer.concat(head).subarray(0, MAGIC_BYTES);
  if (length === 0) return { bytes: only(EMPTY_LAYER), converted: true, close };
  const whole = async function* (): AsyncGenerator<Buffer> {
    yield* head;
    yield* source;
  };
  const foreign = FOREIGN.find((kind) => magic.subarray(0, kind.magic.length).equals(kind.magic));
  if (foreign === undefined) return { bytes: whole(), converted: false, close };
  const tar = decompressed(
    filterProcess(foreign.argv, whole(), { signal, hint: `install the Debian package ${foreign.package}` }),
    foreign.name,
  );
  return { bytes: gzipped(tar), converted: true, close };
}

// eslint-disable-next-line @typescript-eslint/require-await
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
