/** Shares `bytesPerSecond` among all transfers of a client. */
export class RateLimiter {
  readonly #bytesPerMs: number;
  #paidUntil = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Takes note of `bytes` moved; returns how long to wait before moving more. Milliseconds. */
  take(bytes: number, now: number = performance.now()): number {
    this.#paidUntil = Math.max(this.#paidUntil, now) + bytes / this.#bytesPerMs;
    return Math.ceil(this.#paidUntil - now);
  }
}
