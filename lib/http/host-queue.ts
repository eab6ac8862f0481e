import type PQueue from 'p-queue';
import { onAbort } from '../util/index.js';

/** The queues of one host. */
interface Queues {
  readonly all: PQueue;
  /**
   * Streamed uploads have a queue of their own: the download that feeds one may be from the same host, and the two
   * would deadlock in a shared queue.
   */
  readonly uploads: PQueue;
}

/** One queue per host and direction. Each runs at most `parallel` transfers at a time, the highest priority first. */
export class HostQueues {
  readonly #parallel: number;
  readonly #queues = new Map<string, Queues>();

  constructor(parallel: number) {
    this.#parallel = Math.max(1, Math.trunc(parallel));
  }

  /**
   * Waits for a slot of `host`. Resolves with a function that releases it; call it once. Rejects immediately with the
   * signal's reason when it aborts while waiting.
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
        // The queue does not get the signal: a transfer being aborted still holds its connection.
        if (signal.aborted) return Promise.resolve();
        forget();
        return new Promise<void>((release) => resolve(release));
      };
      const forget = onAbort(signal, () => reject(signal.reason as Error));
      void queue.add(slot, { priority });
    });
  }

  /** Limits transfers with `host` to `parallel` in each direction. Running transfers continue. */
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
