/**
 * How far a file that is still being written may be read, shared between threads. The writer (main thread) calls
 * `advance`, `finish` or `fail`; readers in workers block in `waitBeyond`. One 24-byte SharedArrayBuffer, no copies.
 */
export class GrowingFile {
  /** Give this to a worker; `new GrowingFile(shared)` there is the same counter. */
  readonly shared: SharedArrayBuffer;
  readonly #signal: Int32Array;
  readonly #length: BigInt64Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(24)) {
    this.shared = shared;
    this.#signal = new Int32Array(shared, 0, 2);
    this.#length = new BigInt64Array(shared, 8, 1);
  }

  /** A file that is already complete, `length` bytes long. */
  static complete(length: number): GrowingFile {
    const file = new GrowingFile();
    file.advance(length);
    file.finish();
    return file;
  }

  /** The first `length` bytes are on disk (or in the page cache) now. */
  advance(length: number): void {
    Atomics.store(this.#length, 0, BigInt(length));
    this.#wake();
  }

  /** Nothing more will come; the bytes are verified. Who was told of a failure before has read others: that stays. */
  finish(): void {
    Atomics.compareExchange(this.#signal, 1, STATE.growing, STATE.finished);
    this.#wake();
  }

  /** What was written is worthless (digest mismatch, download given up): readers must stop. For good. */
  fail(): void {
    Atomics.store(this.#signal, 1, STATE.failed);
    this.#wake();
  }

  get failed(): boolean {
    return Atomics.load(this.#signal, 1) === STATE.failed;
  }

  /** Lets readers that wait look at their `stopped` again. */
  wake(): void {
    this.#wake();
  }

  /**
   * Blocks the calling thread (never the main one) until there are more than `offset` bytes or the file has ended, or
   * until `stopped` says so (asked before each wait: whoever changes its answer calls `wake`).
   */
  waitBeyond(
    offset: number,
    stopped?: () => boolean,
  ): { readonly length: number; readonly state: 'growing' | 'finished' | 'failed' | 'stopped' } {
    for (;;) {
      const seen = Atomics.load(this.#signal, 0);
      const state = Atomics.load(this.#signal, 1);
      const length = Number(Atomics.load(this.#length, 0));
      if (state === STATE.failed) return { length, state: 'failed' };
      if (length > offset || state === STATE.finished)
        return { length, state: state === STATE.finished ? 'finished' : 'growing' };
      if (stopped?.()) return { length, state: 'stopped' };
      Atomics.wait(this.#signal, 0, seen);
    }
  }

  #wake(): void {
    Atomics.add(this.#signal, 0, 1);
    Atomics.notify(this.#signal, 0);
  }
}

const STATE = { growing: 0, finished: 1, failed: 2 } as const;
