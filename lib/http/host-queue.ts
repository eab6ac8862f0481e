import type PQueue from 'p-queue';
import { onAbort } from '../util/index.js';

/** What waits for one host. */
interface Queues {
  readonly all: PQueue;
  /** Streamed uploads: what feeds them may come from the same host, and must not wait behind them. */
  readonly uploads: PQueue;
}

/** One queue a host and direction: at most `parallel` transfers at a time, higher priority first. */
export class HostQueues {
  readonly #parallel: number;
  readonly #queues = new Map<string, Queues>();

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
        forget();
        return new Promise<void>((release) => resolve(release));
      };
      const forget = onAbort(signal, () => reject(signal.reason as Error));
      void queue.add(slot, { priority });
    });
  }

  /** From now on at most `parallel` transfers with `host` in each direction; what is under way goes on. */
  limit(host: string, parallel: number): void {
    const queues = this.#queues.get(host);
    if (queues === undefined || queues.all.concurrency === parallel) return;
    queues.all.concurrency = parallel;
    queues.uploads.concurrency = parallel;
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
