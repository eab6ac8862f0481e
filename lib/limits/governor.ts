import type { IncomingHttpHeaders } from 'node:http';
import { delay } from '../util/index.js';
import { parseLimitHeaders } from './limit-headers.js';
import { afterRefusal, afterWarning, MAX_PAUSE_MS, sharedClock, takeTurn, type LimitState } from './limit-state.js';
import { LimitStore } from './limit-store.js';
import { parseRetryAfter } from './retry-after.js';

/** Whether a host says with an answer that all requests to it have to wait, and how long. */
export function isRefusal(status: number, headers: IncomingHttpHeaders): boolean {
  return (status === 429 || status === 503) && (parseRetryAfter(headers['retry-after']) ?? 0) > 0;
}

/** Options of a governor. */
export interface GovernorOptions {
  /** Where the limits are shared with other processes; undefined: nowhere. */
  readonly directory: string | undefined;
  /** Transfers at a time that this process would like of each host. */
  readonly parallel: number;
  /** Takes a line for people, once for each host that says that little is left. */
  readonly warn?: ((line: string) => void) | undefined;
}

/**
 * Keeps requests within what hosts allow. Free as long as no limit was seen; then all processes take turns: none before the
 * time that the host named, and not more in a second than it seems to bear, which is half after each refusal and grows
 * again with what it answers.
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

  /** How many transfers at a time `host` is to be burdened with, as last heard. */
  parallel(host: string): number {
    return this.#parallel.get(host) ?? this.#options.parallel;
  }

  /** Waits until a request may be sent to `host`, two minutes at most. Rejects with the signal's reason when it aborts. */
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

  /** Takes note of an answer to a request that was sent at `sentAt`. */
  async answered(
    host: string,
    answer: { status: number; headers: IncomingHttpHeaders; sentAt: number },
  ): Promise<void> {
    const { status, headers, sentAt } = answer;
    const now = sharedClock();
    const asked = parseRetryAfter(headers['retry-after']);
    // With a pause of 0 seconds the host says that it can take all at once.
    if ((status === 429 && asked !== 0) || isRefusal(status, headers)) {
      // A pause that nobody sits out ends the command: it says nothing about the next one.
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

  /** Ends all waits. */
  close(): void {
    this.#closed.abort();
  }

  /** What a server tells beforehand: slower from the half on, and not at all when nothing is left of a short window. */
  async #heed(host: string, headers: IncomingHttpHeaders): Promise<void> {
    const told = parseLimitHeaders(headers);
    if (told === undefined) return;
    const { limit, window, remaining } = told;
    if (limit !== undefined && remaining <= limit / 10) this.#warn(host, remaining, limit);
    const reset = told.reset ?? window;
    // Hours are not slept through: there the refusal tells.
    if (reset === undefined || reset * 1000 > MAX_PAUSE_MS || (limit !== undefined && remaining > limit / 2)) return;
    const even = limit !== undefined && window !== undefined && window > 0 ? limit / window : undefined;
    const perSecond = even ?? Math.max(1, remaining) / Math.max(1, reset);
    // Without a reset only the size of the window is known: then it is enough to go slowly.
    const pauseMs = remaining > 0 || told.reset === undefined ? 0 : reset * 1000;
    const now = sharedClock();
    this.#note(host, await this.#store.update(host, (known) => afterWarning(known, { now, perSecond, pauseMs })));
  }

  #warn(host: string, remaining: number, limit: number): void {
    if (this.#warned.has(host)) return;
    this.#warned.add(host);
    this.#options.warn?.(`warning: ${host} says that ${remaining} of ${limit} requests are left`);
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
