import koffi from 'koffi';

/** size_t. Error codes are near 2^64, which koffi returns as bigint. */
type Code = number | bigint;

interface Library {
  readonly create: () => number;
  readonly reset: (stream: number, directive: number) => Code;
  readonly setParameter: (stream: number, parameter: number, value: number) => Code;
  readonly decompress: (stream: number, out: Uint8Array, input: Uint8Array) => Code;
  readonly isError: (code: Code) => number;
  readonly errorName: (code: Code) => string;
  readonly free: (stream: number) => Code;
}

const RESET_SESSION_ONLY = 1;
const WINDOW_LOG_MAX = 100;
/** Frames that require a larger window are refused: 2^27 = 128 MiB, which is also the zstd program's limit. */
const MAX_WINDOW_LOG = 27;

function loadLibrary(): Library | undefined {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libzstd.so.1');
  } catch {
    return undefined;
  }
  const declare = <F>(prototype: string): F => library.func(prototype) as unknown as F;
  return {
    create: declare<Library['create']>('uintptr_t ZSTD_createDStream()'),
    reset: declare<Library['reset']>('size_t ZSTD_DCtx_reset(uintptr_t, int)'),
    setParameter: declare<Library['setParameter']>('size_t ZSTD_DCtx_setParameter(uintptr_t, int, int)'),
    decompress: declare<Library['decompress']>('size_t ZSTD_decompressStream(uintptr_t, uint8_t *, uint8_t *)'),
    isError: declare<Library['isError']>('uint32_t ZSTD_isError(size_t)'),
    errorName: declare<Library['errorName']>('const char *ZSTD_getErrorName(size_t)'),
    free: declare<Library['free']>('size_t ZSTD_freeDStream(uintptr_t)'),
  };
}

/** Decompresses any number of zstd frames with libzstd (Debian libzstd1). The caller must call `close`. */
export class ZstdDecompress {
  readonly #library: Library;
  readonly #stream: number;
  readonly #in = new Uint32Array(6);
  readonly #out = new Uint32Array(6);
  readonly #inBytes = new Uint8Array(this.#in.buffer);
  readonly #outBytes = new Uint8Array(this.#out.buffer);
  /** Bytes consumed by the last `step`. */
  consumed = 0;
  produced = 0;
  /** At the end of a frame with all output written (also before the first one). */
  frameDone = true;

  private constructor(library: Library, stream: number) {
    this.#library = library;
    this.#stream = stream;
  }

  /** Undefined when the library is not installed. */
  static load(): ZstdDecompress | undefined {
    const library = loadLibrary();
    if (library === undefined) return undefined;
    const stream = library.create();
    library.setParameter(stream, WINDOW_LOG_MAX, MAX_WINDOW_LOG);
    return new ZstdDecompress(library, stream);
  }

  /** Prepares for the next stream. */
  reset(): void {
    this.#library.reset(this.#stream, RESET_SESSION_ONLY);
    this.frameDone = true;
  }

  /** Like IsalInflate.step: addresses and sizes. Returns a description when the data is corrupt. */
  step(input: number, inputSize: number, output: number, outputSize: number): string | undefined {
    fillBuffer(this.#in, input, inputSize);
    fillBuffer(this.#out, output, outputSize);
    const status = this.#library.decompress(this.#stream, this.#outBytes, this.#inBytes);
    this.consumed = this.#in[4]!;
    this.produced = this.#out[4]!;
    if (this.#library.isError(status) !== 0) return this.#library.errorName(status);
    this.frameDone = Number(status) === 0;
    return undefined;
  }

  close(): void {
    this.#library.free(this.#stream);
  }
}

/** ZSTD_inBuffer and ZSTD_outBuffer: pointer, size, position; 64 bits each. */
function fillBuffer(buffer: Uint32Array, address: number, size: number): void {
  buffer[0] = address % 0x1_0000_0000;
  buffer[1] = Math.floor(address / 0x1_0000_0000);
  buffer[2] = size;
  buffer[4] = 0;
  buffer[5] = 0;
}
