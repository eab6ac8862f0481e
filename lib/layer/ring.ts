import { addressOf } from '../sys/index.js';
import type { Slot } from './compression/decoder.js';
import { StoppedError } from './stopped-error.js';
import type { ByteWindows } from './tar/byte-windows.js';

/** Size of one slot: a multiple of the tar block, so that no tar block crosses the end of a full slot. Bytes. */
export const SLOT_BYTES = 256 * 1024;
/** Number of slots: how far the inflating thread may be ahead. */
const SLOT_COUNT = 16;

const WORD = { stop: 0, produced: 1, consumed: 2, ended: 3, lengths: 4 } as const;

/** The memory shared by both workers. */
export interface RingMemory {
  readonly data: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
}

export function allocateRing(): RingMemory {
  return {
    data: new SharedArrayBuffer(SLOT_BYTES * SLOT_COUNT),
    control: new SharedArrayBuffer(4 * (WORD.lengths + SLOT_COUNT)),
  };
}

/** The main thread's view of the ring: starts, stops and observes the workers; never blocks. */
export class RingControl {
  readonly #words: Int32Array;

  constructor(memory: RingMemory) {
    this.#words = new Int32Array(memory.control);
  }

  /** Empties the ring for the next layer. Only valid while both workers are idle. */
  reset(): void {
    this.#words.fill(0);
  }

  /** Makes both workers stop waiting and end their job. */
  stop(): void {
    for (const word of [WORD.stop, WORD.produced, WORD.consumed]) {
      if (word === WORD.stop) Atomics.store(this.#words, word, 1);
      Atomics.notify(this.#words, word);
    }
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, WORD.stop) !== 0;
  }

  /** Bytes that the unpacking thread has taken, without the last slot, which may not be full. */
  get consumedBytes(): number {
    return Math.max(0, Atomics.load(this.#words, WORD.consumed) - 1) * SLOT_BYTES;
  }
}

/** The side that fills slots. Blocks its thread. */
export class RingProducer {
  readonly #words: Int32Array;
  readonly #slots: readonly Slot[];

  constructor(memory: RingMemory) {
    this.#words = new Int32Array(memory.control);
    this.#slots = Array.from({ length: SLOT_COUNT }, (_, index) => {
      const bytes = new Uint8Array(memory.data, index * SLOT_BYTES, SLOT_BYTES);
      return { bytes, address: addressOf(bytes) };
    });
  }

  /** Waits for a free slot. Throws StoppedError. */
  acquire(): Slot {
    const produced = Atomics.load(this.#words, WORD.produced);
    for (;;) {
      const consumed = Atomics.load(this.#words, WORD.consumed);
      if (Atomics.load(this.#words, WORD.stop) !== 0) throw new StoppedError();
      if (produced - consumed < SLOT_COUNT) return this.#slots[produced % SLOT_COUNT]!;
      // The timeout covers a stop between the check above and the wait, which does not change this word.
      Atomics.wait(this.#words, WORD.consumed, consumed, 50);
    }
  }

  /** Passes on the slot from `acquire` with `length` bytes in it. */
  publish(length: number): void {
    const produced = Atomics.load(this.#words, WORD.produced);
    this.#words[WORD.lengths + (produced % SLOT_COUNT)] = length;
    Atomics.store(this.#words, WORD.produced, produced + 1);
    Atomics.notify(this.#words, WORD.produced);
  }

  /** Marks the end of the stream. */
  end(): void {
    Atomics.store(this.#words, WORD.ended, 1);
    Atomics.notify(this.#words, WORD.produced);
  }
}

/** The side that empties slots, as windows over the tar stream. Blocks its thread. */
export class RingConsumer implements ByteWindows {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly address: number;
  start = 0;
  end = 0;
  readonly #control: Int32Array;
  #holding = false;

  constructor(memory: RingMemory) {
    this.bytes = new Uint8Array(memory.data);
    this.words = new Uint32Array(memory.data);
    this.address = addressOf(this.bytes);
    this.#control = new Int32Array(memory.control);
  }

  /** Starts with another layer. */
  reset(): void {
    this.start = this.end = 0;
    this.#holding = false;
  }

  get stopped(): boolean {
    return Atomics.load(this.#control, WORD.stop) !== 0;
  }

  advance(): boolean {
    const words = this.#control;
    let consumed = Atomics.load(words, WORD.consumed);
    if (this.#holding) {
      consumed += 1;
      this.#holding = false;
      Atomics.store(words, WORD.consumed, consumed);
      Atomics.notify(words, WORD.consumed);
    }
    for (;;) {
      const ended = Atomics.load(words, WORD.ended) !== 0;
      const produced = Atomics.load(words, WORD.produced);
      if (Atomics.load(words, WORD.stop) !== 0) throw new StoppedError();
      if (produced > consumed) break;
      if (ended) {
        this.start = this.end = 0;
        return false;
      }
      // The timeout covers an end or a stop between the checks above and the wait.
      Atomics.wait(words, WORD.produced, produced, 50);
    }
    const slot = consumed % SLOT_COUNT;
    this.start = slot * SLOT_BYTES;
    this.end = this.start + words[WORD.lengths + slot]!;
    this.#holding = true;
    return true;
  }
}
