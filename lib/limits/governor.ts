import type { IncomingHttpHeaders } from 'node:http';
import { delay } from '../util/index.js';
import { parseLimitHeaders } from './limit-headers.js';
import { afterRefusal, afterWarning, MAX_PAUSE_MS, sharedClock, takeTurn, type LimitState } from './limit-state.js';
import { LimitStore } from './limit-store.js';
import { parseRetryAfter } from './retry-after.js';

/** True when a response asks for a pause of all requests to its host. */
export function isRefusal(status: number, headers: IncomingHttpHeaders): boolean {
  return (status === 429 || status === 503) && (parseRetryAfter(headers['retry-after']) ?? 0) > 0;
}

export interface GovernorOptions {
  /** Directory that shares the limits with other processes; undefined: not shared. */
  readonly directory: string | undefined;
  /** Desired number of concurrent transfers per host. */
  readonly parallel: number;
  /** Called with a warning for users, once per host, when few requests are left. */
  readonly warn?: ((line: string) => void) | undefined;
}

/**
 * Keeps requests within the limits of hosts. Without a known limit, requests pass freely. Otherwise all processes take
 * turns: no request starts before the time that the host named or faster than the rate, which is halved after each
 * refusal and grows with successful responses.
 */
export class Governor {
  readonly #options: GovernorOptions;
  readonly #store: LimitStore;
  readonly #successes = new Map<string, number>();
  readonly #parallel = new Map<string, number>();
  readonly #warned = new Set<string>();
  readonly #closed = new AbortController();

  constructor(options: GovernorOptions) {
    this.#options = options;
    this.#store = new LimitStore(options.directory);
  }

  /** The number of concurrent transfers to use for `host`, according to its last responses. */
  parallel(host: string): number {
    return this.#parallel.get(host) ?? this.#options.parallel;
  }

  /** Waits until a request may be sent to `host`, for at most two minutes. Rejects with the signal's reason when it aborts. */
  async turn(host: string, signal: AbortSignal): Promise<void> {
    const deadline = sharedClock() + MAX_PAUSE_MS;
    while (this.#store.mayLimit(host)) {
      const now = sharedClock();
      let at = now;
      const successes = this.#successes.get(host) ?? 0;
      this.#successes.delete(host);
      const state = await this.#store.update(host, (known) => {
        if (known === undefined) return undefined;
        const turn = takeTurn(known, { now, successes });
        at = turn.at;
        return turn.state;
      });
      this.#note(host, state);
      if (at <= now || now >= deadline) return;
      await this.#wait(Math.min(at, deadline) - now, signal);
      if (this.#closed.signal.aborted) return;
      // Another process may have been refused meanwhile.
      if (!(await this.#isPaused(host))) return;
    }
  }

  /** Records the response to a request that was sent at `sentAt`. */
  async answered(
    host: string,
    answer: { status: number; headers: IncomingHttpHeaders; sentAt: number },
  ): Promise<void> {
    const { status, headers, sentAt } = answer;
    const now = sharedClock();
    const asked = parseRetryAfter(headers['retry-after']);
    // With a pause of 0 seconds, the host states that it can take all requests at once.
    if ((status === 429 && asked !== 0) || isRefusal(status, headers)) {
      // A pause too long to wait for ends the command, and says nothing about the next command.
      const pauseMs = asked === undefined || asked > MAX_PAUSE_MS ? 0 : asked;
      const { parallel } = this.#options;
      this.#note(
        host,
        await this.#store.update(host, (known) => afterRefusal(known, { now, sentAt, pauseMs, parallel })),
      );
      return;
    }
    if (status < 500 && this.#store.mayLimit(host)) this.#successes.set(host, (this.#successes.get(host) ?? 0) + 1);
    await this.#heed(host, headers);
  }

  /** Ends all pauses. */
  close(): void {
    this.#closed.abort();
  }

  /**
   * Handles limits that a server announces: slows down when half of the requests are used, and pauses when none is left
   * in a short window.
   */
  async #heed(host: string, headers: IncomingHttpHeaders): Promise<void> {
    const told = parseLimitHeaders(headers);
    if (told === undefined) return;
    const { limit, window, remaining } = told;
    if (limit !== undefined && remaining <= limit / 10) this.#warn(host, remaining, limit);
    const reset = told.reset ?? window;
    // Windows of hours are not waited for; a refusal will end the command.
    if (reset === undefined || reset * 1000 > MAX_PAUSE_MS || (limit !== undefined && remaining > limit / 2)) return;
    const even = limit !== undefined && window !== undefined && window > 0 ? limit / window : undefined;
    const perSecond = even ?? Math.max(1, remaining) / Math.max(1, reset);
    // Without a reset time only the length of the window is known, so slowing down is enough.
    const pauseMs = remaining > 0 || told.reset === undefined ? 0 : reset * 1000;
    const now = sharedClock();
    this.#note(host, await this.#store.update(host, (known) => afterWarning(known, { now, perSecond, pauseMs })));
  }

  #warn(host: string, remaining: number, limit: number): void {
    if (this.#warned.has(host)) return;
    this.#warned.add(host);
    this.#options.warn?.(`warning: ${host} allows only ${remaining} more of ${limit} requests`);
  }

  async #isPaused(host: string): Promise<boolean> {
    if (!this.#store.mayLimit(host)) return false;
    const state = await this.#store.update(host, (known) => known);
    return state !== undefined && state.notBefore > sharedClock();
  }

  #note(host: string, state: LimitState | undefined): void {
    if (state === undefined) this.#parallel.delete(host);
    else this.#parallel.set(host, Math.max(1, Math.min(this.#options.parallel, Math.floor(state.parallel))));
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await delay(ms, AbortSignal.any([signal, this.#closed.signal]));
    } catch {
      signal.throwIfAborted();
    }
  }
}
