import type PQueue from 'p-queue';

/** What waits for one host. */
interface Queues {
  readonly all: PQueue;
  /** Streamed uploads: what feeds them may come from the same host, and must not wait behind them. */
  readonly uploads: PQueue;
}

/** One queue a host and direction: at most `parallel` transfers at a time, higher priority first, with pauses a host has asked for. */
export class HostQueues {
  readonly #parallel: number;
  readonly #queues = new Map<string, Queues>();
  readonly #pauses = new Map<string, { readonly until: number; readonly timer: NodeJS.Timeout }>();

  constructor(parallel: number) {
    this.#parallel = Math.max(1, Math.trunc(parallel));
  }

  /**
   * Waits for a slot of `host` and resolves with the function that gives it back (call it once). Rejects at once with
   * the signal's reason when it aborts while waiting.
   */
  async acquire(
    host: string,
    options: { readonly priority: number; readonly signal: AbortSignal; readonly upload?: boolean },
  ): Promise<() => void> {
    const { signal, priority, upload = false } = options;
    const queue = (await this.#queuesOf(host))[upload ? 'uploads' : 'all'];
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const slot = (): Promise<void> => {
        // The signal is not given to the queue: a transfer that is being torn down still holds its connection.
        if (signal.aborted) return Promise.resolve();
        signal.removeEventListener('abort', abort);
        return new Promise<void>((release) => resolve(release));
      };
      const abort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      void queue.add(slot, { priority });
    });
  }

  /** Starts nothing new at `host` for `ms` milliseconds (`Retry-After`). */
  pause(host: string, ms: number): void {
    const queues = this.#queues.get(host);
    const until = Date.now() + ms;
    const earlier = this.#pauses.get(host);
    if (queues === undefined || (earlier !== undefined && earlier.until >= until)) return;
    clearTimeout(earlier?.timer);
    for (const queue of [queues.all, queues.uploads]) queue.pause();
    const timer = setTimeout(() => {
      this.#pauses.delete(host);
      start(queues);
    }, ms);
    this.#pauses.set(host, { until, timer });
  }

  /** Ends all pauses. */
  close(): void {
    for (const [host, { timer }] of this.#pauses) {
      clearTimeout(timer);
      const queues = this.#queues.get(host);
      if (queues !== undefined) start(queues);
    }
    this.#pauses.clear();
  }

  async #queuesOf(host: string): Promise<Queues> {
    const { default: Queue } = await import('p-queue');
    let queues = this.#queues.get(host);
    if (queues === undefined) {
      const make = (): PQueue => new Queue({ concurrency: this.#parallel });
      queues = { all: make(), uploads: make() };
      this.#queues.set(host, queues);
    }
    return queues;
  }
}

function start({ all, uploads }: Queues): void {
  all.start();
  uploads.start();
}
