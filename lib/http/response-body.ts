import { Readable } from 'node:stream';
import { onAbort } from '../util/index.js';
import type { RateLimiter } from './rate-limiter.js';
import { StallError } from './transport-failure.js';

/** The callbacks from a response body to its exchange. */
interface BodyOwner {
  readonly signal: AbortSignal;
  readonly stallMs: number;
  readonly limiter: RateLimiter | undefined;
  received(bytes: number): void;
  /** Converts an error of the source into the error for the reader. */
  readerError(raw: unknown): Error;
  /** Called once, when the body has ended or was destroyed. */
  closed(): void;
}

/**
 * A response body. Passes the source's chunks on, with back-pressure. The stall timeout runs only while the reader
 * waits for the source, so a slow reader does not count as a stalled server.
 */
export class ResponseBody extends Readable {
  readonly #source: Readable;
  readonly #owner: BodyOwner;
  readonly #watch: NodeJS.Timeout;
  readonly #forgetAbort: () => void;
  /** Bytes received so far. */
  received = 0;
  #waiting = false;
  #paused = false;
  #idleChecks = 0;

  constructor(source: Readable, owner: BodyOwner) {
    // Object mode: a byte stream would join buffered chunks and so copy each body once more.
    super({ objectMode: true, highWaterMark: MAX_CHUNKS });
    this.#source = source;
    this.#owner = owner;
    source.pause();
    source.on('data', (chunk: Buffer) => this.#pass(chunk));
    source.once('end', () => this.push(null));
    source.once('error', (error) => this.destroy(this.#owner.readerError(error)));
    source.once('close', () => {
      if (!this.readableEnded && !source.readableEnded) this.destroy(this.#owner.readerError(new StreamClosedError()));
    });
    this.#watch = setInterval(() => this.#checkStall(), Math.max(1, owner.stallMs / CHECKS));
    const abort = (): void => void this.destroy(owner.signal.reason as Error);
    this.#forgetAbort = onAbort(owner.signal, abort);
    if (owner.signal.aborted) abort();
  }

  override _read(): void {
    this.#waiting = true;
    if (!this.#paused) this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#watch);
    this.#forgetAbort();
    this.#source.destroy();
    this.#owner.closed();
    callback(error);
  }

  #pass(chunk: Buffer): void {
    if (this.destroyed) return;
    this.#idleChecks = 0;
    this.received += chunk.length;
    this.#owner.received(chunk.length);
    this.#waiting = this.push(chunk);
    const pauseMs = this.#owner.limiter?.take(chunk.length) ?? 0;
    if (pauseMs > 0) {
      this.#paused = true;
      setTimeout(() => {
        this.#paused = false;
        if (this.#waiting) this.#source.resume();
      }, pauseMs);
    }
    if (this.#paused || !this.#waiting) this.#source.pause();
  }

  #checkStall(): void {
    if (!this.#waiting || this.#paused) this.#idleChecks = 0;
    else if (++this.#idleChecks > CHECKS) this.destroy(this.#owner.readerError(new StallError(this.#owner.stallMs)));
  }
}

const CHECKS = 4;
/** Chunks are at most 1 MiB each. */
const MAX_CHUNKS = 1;

class StreamClosedError extends Error {
  readonly code = 'ECONNRESET';
}
