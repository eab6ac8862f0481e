import { addressOf } from '../../sys/index.js';

/**
 * A byte stream read through windows: `bytes[start..end)` can be read now; the reader advances `start`.
 * Every window except the last has a length that is a multiple of 512. Windows start at a multiple of 4 in `bytes`.
 */
export interface ByteWindows {
  readonly bytes: Uint8Array;
  /** The memory of `bytes` as 32-bit words. */
  readonly words: Uint32Array;
  /** Memory address of `bytes`. */
  readonly address: number;
  start: number;
  readonly end: number;
  /** Releases the window and takes the next one. Returns false at the end of the stream. */
  advance(): boolean;
}

/** A stream from memory, as one window or as several of `windowBytes` (a multiple of 512). */
export class MemoryWindows implements ByteWindows {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly address: number;
  start = 0;
  end = 0;
  readonly #length: number;
  readonly #windowBytes: number;

  /** Copies `data`. */
  constructor(data: Uint8Array, windowBytes = Infinity) {
    const memory = new ArrayBuffer(Math.max(4, Math.ceil(data.length / 4) * 4));
    this.bytes = new Uint8Array(memory);
    this.bytes.set(data);
    this.words = new Uint32Array(memory);
    this.address = addressOf(this.bytes);
    this.#length = data.length;
    this.#windowBytes = windowBytes;
  }

  advance(): boolean {
    this.start = this.end;
    this.end = Math.min(this.#length, this.start + this.#windowBytes);
    return this.end > this.start;
  }
}
