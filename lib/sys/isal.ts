import koffi from 'koffi';

/** Offsets in `struct inflate_state` of igzip_lib.h, the ABI of libisal.so.2. */
const STATE = {
  nextOut: 0,
  availOut: 8,
  nextIn: 16,
  availIn: 32,
  blockState: 21160,
  crcFlag: 21172,
  size: 87368,
} as const;
const BLOCK_FINISH = 5;
/** ISAL_GZIP_NO_HDR_VER: deflate data, then the trailer of gzip, which is checked. */
const GZIP_BODY = 6;
const MESSAGES: Readonly<Record<number, string>> = {
  [-1]: 'invalid deflate block',
  [-2]: 'invalid deflate symbol',
  [-3]: 'deflate match reaches before the start of the data',
  [-6]: 'wrong checksum or length',
};

interface Library {
  readonly init: (state: Uint8Array) => void;
  readonly inflate: (state: Uint8Array) => number;
}

function loadLibrary(): Library | undefined {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libisal.so.2');
  } catch {
    return undefined;
  }
  return {
    init: library.func('void isal_inflate_init(uint8_t *)') as unknown as Library['init'],
    inflate: library.func('int isal_inflate(uint8_t *)') as unknown as Library['inflate'],
  };
}

/**
 * Decompression of gzip members by libisal (Debian libisal2), about twice as fast as zlib: everything after the header,
 * trailer included. One object, any number of members.
 */
export class IsalInflate {
  readonly #library: Library;
  readonly #state = Buffer.alloc(STATE.size);
  /** What the last `step` did: bytes. */
  consumed = 0;
  produced = 0;
  /** The member has ended, its trailer was right. */
  done = false;

  private constructor(library: Library) {
    this.#library = library;
  }

  /** Undefined when the library is not installed. */
  static load(): IsalInflate | undefined {
    const library = loadLibrary();
    return library === undefined ? undefined : new IsalInflate(library);
  }

  /** Makes ready for the next member. */
  reset(): void {
    this.#library.init(this.#state);
    this.#state.writeUInt32LE(GZIP_BODY, STATE.crcFlag);
    this.done = false;
  }

  /**
   * Inflates from one address to another; both must stay alive and hold at least that many bytes. Returns a
   * description when the data is corrupt.
   */
  step(input: number, inputSize: number, output: number, outputSize: number): string | undefined {
    const state = this.#state;
    writeAddress(state, STATE.nextIn, input);
    state.writeUInt32LE(inputSize, STATE.availIn);
    writeAddress(state, STATE.nextOut, output);
    state.writeUInt32LE(outputSize, STATE.availOut);
    const status = this.#library.inflate(state);
    this.consumed = inputSize - state.readUInt32LE(STATE.availIn);
    this.produced = outputSize - state.readUInt32LE(STATE.availOut);
    this.done = state.readUInt32LE(STATE.blockState) === BLOCK_FINISH;
    return status < 0 ? (MESSAGES[status] ?? `isal_inflate error ${status}`) : undefined;
  }
}

function writeAddress(state: Buffer, offset: number, address: number): void {
  state.writeUInt32LE(address % 0x1_0000_0000, offset);
  state.writeUInt32LE(Math.floor(address / 0x1_0000_0000), offset + 4);
}
