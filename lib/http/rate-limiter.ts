/** Shares `bytesPerSecond` among all transfers of a client. */
export class RateLimiter {
  readonly #bytesPerMs: number;
  #paidUntil = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Records a transfer of `bytes`. Returns the time to wait before the next one, in ms. */
  take(bytes: number, now: number = performance.now()): number {
    this.#paidUntil = Math.max(this.#paidUntil, now) + bytes / this.#bytesPerMs;
    return Math.ceil(this.#paidUntil - now);
  }
}
