import { onAbort } from './on-abort.js';

/**
 * The readable length of a file that is still being written, shared between threads. The writer (main thread) calls
 * `advance`, `finish` or `fail`; readers in workers block in `waitBeyond`. Consists of one 24-byte SharedArrayBuffer.
 */
export class GrowingFile {
  /** To be passed to a worker, where `new GrowingFile(shared)` accesses the same counter. */
  readonly shared: SharedArrayBuffer;
  readonly #signal: Int32Array;
  readonly #length: BigInt64Array;
  readonly #waiting: (() => void)[] = [];

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(24)) {
    this.shared = shared;
    this.#signal = new Int32Array(shared, 0, 2);
    this.#length = new BigInt64Array(shared, 8, 1);
  }

  /** For a file that is already complete, with `length` bytes. */
  static complete(length: number): GrowingFile {
    const file = new GrowingFile();
    file.advance(length);
    file.finish();
    return file;
  }

  /** The first `length` bytes are now on disk (or in the page cache). */
  advance(length: number): void {
    Atomics.store(this.#length, 0, BigInt(length));
    this.#wake();
  }

  /** The file is complete and verified. Has no effect after `fail`, because readers have seen other bytes. */
  finish(): void {
    Atomics.compareExchange(this.#signal, 1, STATE.growing, STATE.finished);
    this.#wake();
  }

  /** The data is invalid (digest mismatch, aborted download), so readers must stop. Permanent. */
  fail(): void {
    Atomics.store(this.#signal, 1, STATE.failed);
    this.#wake();
  }

  get failed(): boolean {
    return Atomics.load(this.#signal, 1) === STATE.failed;
  }

  /**
   * Resolves when the file is complete or has failed, or `signal` is aborted; for readers in the writer's thread, with the
   * writer's object.
   */
  async ended(signal: AbortSignal): Promise<void> {
    const forgetAbort = onAbort(signal, () => this.#wake());
    while (Atomics.load(this.#signal, 1) === STATE.growing && !signal.aborted)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    forgetAbort();
  }

  /** Makes waiting readers call their `stopped` again. */
  wake(): void {
    this.#wake();
  }

  /**
   * Blocks the calling thread (never the main thread) until there are more than `offset` bytes, the file has ended, or
   * `stopped` returns true. `stopped` is called before each wait; after its result changes, call `wake`.
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
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const STATE = { growing: 0, finished: 1, failed: 2 } as const;
