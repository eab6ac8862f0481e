import type * as BullMq from 'bullmq';
import type { Job, Worker } from 'bullmq';
import { delay } from '../util/index.js';
import { connectRedis, isRedisAway, type RedisLink } from './connect-redis.js';
import { knownLanes, PREFIX, queueName } from './lanes.js';
import type { DoJob, JobTry, QueueAddress } from './types.js';
import { orAborted, within } from './waiting.js';

/** Interval for finding new lanes, in ms. */
const LOOK_MS = 1000;
/** A job whose workers died this often is considered the cause. */
const MAX_STALLED = 50;
/** Time limit for returning jobs on exit, in ms. */
const GOODBYE_MS = 5000;

export interface JobWorkerOptions {
  /** Concurrent jobs per lane. */
  readonly parallel: number;
  /** Silence in ms after which another worker takes over a job. */
  readonly leaseMs: number;
  readonly work: DoJob;
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Takes and runs jobs of all lanes, even across restarts of Redis, until its signal aborts; then returns its jobs. */
export class JobWorker {
  readonly #bull: typeof BullMq;
  readonly #link: RedisLink;
  readonly #options: JobWorkerOptions;
  readonly #workers = new Map<string, Worker>();

  private constructor(bull: typeof BullMq, link: RedisLink, options: JobWorkerOptions) {
    this.#bull = bull;
    this.#link = link;
    this.#options = options;
  }

  /** Connects. Throws TransportError, AuthenticationError, AbortError. */
  static async open(address: QueueAddress, options: JobWorkerOptions): Promise<JobWorker> {
    const link = await connectRedis(address, options);
    return new JobWorker(await import('bullmq'), link, options);
  }

  /** Resolves when the signal has aborted and all jobs are done or returned. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    try {
      while (!signal.aborted) {
        try {
          for (const lane of await orAborted(knownLanes(this.#link.redis), signal)) this.#serve(lane);
          await delay(LOOK_MS, signal);
        } catch (error) {
          if (signal.aborted) break;
          if (!isRedisAway(error)) throw error;
          await delay(LOOK_MS, signal).catch(() => undefined);
        }
      }
    } finally {
      await within(GOODBYE_MS, Promise.allSettled([...this.#workers.values()].map((worker) => worker.close())));
      this.#link.redis.disconnect();
    }
  }

  #serve(lane: string): void {
    if (this.#workers.has(lane)) return;
    const { parallel, leaseMs, note } = this.#options;
    const worker = new this.#bull.Worker(
      queueName(lane),
      // BullMQ passes a signal, which aborts when another worker has taken over the job, only to functions with three parameters.
      (job: Job, token: string | undefined, lost: AbortSignal | undefined) => this.#do(job, token, lost),
      {
        ...{ connection: this.#link.options, prefix: PREFIX, concurrency: parallel },
        ...{ lockDuration: leaseMs, stalledInterval: Math.max(500, leaseMs / 2), maxStalledCount: MAX_STALLED },
        ...{ drainDelay: 2, runRetryDelay: 500, maximumRateLimitDelay: 2000 },
      },
    );
    worker.on('error', (error) => {
      if (!isRedisAway(error) && !this.#options.signal.aborted)
        note(`queue of ${lane}: ${error.message.split('\n', 1)[0]}`);
    });
    this.#workers.set(lane, worker);
  }

  async #do(job: Job, token: string | undefined, lost: AbortSignal | undefined): Promise<unknown> {
    const { signal, work } = this.#options;
    const both = lost === undefined ? signal : AbortSignal.any([signal, lost]);
    let tried: JobTry;
    try {
      const previous: unknown = typeof job.progress === 'object' ? job.progress : undefined;
      both.throwIfAborted();
      tried = await work(job.data, { previous, signal: both });
    } catch (error) {
      if (!both.aborted) throw new this.#bull.UnrecoverableError((error as Error).message);
      await job.moveToWait(token);
      throw new this.#bull.WaitingError();
    }
    const { result, failure } = tried;
    if (failure === undefined) return result;
    await job.updateProgress(result as object);
    throw failure.retry ? new Error(failure.reason) : new this.#bull.UnrecoverableError(failure.reason);
  }
}
