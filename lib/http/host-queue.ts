import type PQueue from 'p-queue';

/** One queue a host: at most `parallel` transfers at a time, higher priority first, with pauses a host has asked for. */
export class HostQueues {
  readonly #parallel: number;
  readonly #queues = new Map<string, PQueue>();
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
    options: { readonly priority: number; readonly signal: AbortSignal },
  ): Promise<() => void> {
    const { signal, priority } = options;
    const queue = await this.#queue(host);
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
    const queue = this.#queues.get(host);
    const until = Date.now() + ms;
    const earlier = this.#pauses.get(host);
    if (queue === undefined || (earlier !== undefined && earlier.until >= until)) return;
    clearTimeout(earlier?.timer);
    queue.pause();
    const timer = setTimeout(() => {
      this.#pauses.delete(host);
      queue.start();
    }, ms);
    this.#pauses.set(host, { until, timer });
  }

  /** Ends all pauses. */
  close(): void {
    for (const [host, { timer }] of this.#pauses) {
      clearTimeout(timer);
      this.#queues.get(host)?.start();
    }
    this.#pauses.clear();
  }

  async #queue(host: string): Promise<PQueue> {
    const { default: Queue } = await import('p-queue');
    let queue = this.#queues.get(host);
    if (queue === undefined) {
      queue = new Queue({ concurrency: this.#parallel });
      this.#queues.set(host, queue);
    }
    return queue;
  }
}
