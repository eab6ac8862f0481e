import type * as BullMq from 'bullmq';
import type { Job, JobsOptions, Queue, QueueEvents } from 'bullmq';
import { TransportError } from '../errors.js';
import { delay } from '../util/index.js';
import { orAborted, within } from './waiting.js';
import { connectRedis, isRedisAway, type RedisLink } from './connect-redis.js';
import { announceLanes, knownLanes, PREFIX, queueName } from './lanes.js';
import type { DeadJob, FinishedJob, QueueAddress, QueueItem, Rate } from './types.js';

/** Jobs sent to Redis together. */
const BATCH = 200;
/** Interval in ms for checking all outstanding jobs, because events may get lost. */
const LOOK_MS = 5000;
const RETRY_MS = 500;
const DAY_S = 86_400;

export interface JobQueueOptions {
  /** Attempts at a job before it counts as dead. */
  readonly attempts: number;
  /** Delay in ms before the second attempt; it doubles with each further one. */
  readonly backoffMs: number;
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
}

interface Outstanding {
  readonly item: QueueItem;
  readonly finish: ((job: FinishedJob) => void)[];
}

interface Lane {
  readonly queue: Queue;
  events: QueueEvents | undefined;
}

/** Adds jobs and reports their results, even across restarts of Redis. The caller closes it. */
export class JobQueue {
  readonly #address: QueueAddress;
  readonly #bull: typeof BullMq;
  readonly #link: RedisLink;
  readonly #options: JobQueueOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #outstanding = new Map<string, Outstanding>();
  /** Reported by events, not yet checked. */
  readonly #told = new Set<string>();
  #wake: (() => void) | undefined;
  #closed = false;
  /** True when no more jobs will be added. */
  #all = false;
  #watching: Promise<void> | undefined;

  private constructor(address: QueueAddress, bull: typeof BullMq, link: RedisLink, options: JobQueueOptions) {
    this.#address = address;
    this.#bull = bull;
    this.#link = link;
    this.#options = options;
  }

  /** Connects. Throws TransportError, AuthenticationError, AbortError. */
  static async open(address: QueueAddress, options: JobQueueOptions): Promise<JobQueue> {
    const link = await connectRedis(address, options);
    return new JobQueue(address, await import('bullmq'), link, options);
  }

  /**
   * Adds jobs. Calls `onFinished` once for each when it ends. Waits for a job that is already queued; adds one that has
   * ended again. Resolves when Redis has stored them. Throws TransportError, AbortError.
   */
  async put(items: readonly QueueItem[], onFinished: (item: QueueItem, job: FinishedJob) => void): Promise<void> {
    for (let start = 0; start < items.length; start += BATCH) {
      const batch = items.slice(start, start + BATCH);
      await this.#persist(() => this.#add(batch));
      for (const item of batch) {
        const entry = this.#outstanding.get(item.id) ?? { item, finish: [] };
        entry.finish.push((job) => onFinished(item, job));
        this.#outstanding.set(item.id, entry);
        // It may have ended before the listener was registered.
        this.#told.add(item.id);
      }
      this.#wake?.();
    }
    this.#watching ??= this.#watch();
    // `settled` reports the error.
    this.#watching.catch(() => undefined);
  }

  /** Resolves when all added jobs have ended. Throws TransportError when Redis refuses something, AbortError. */
  async settled(): Promise<void> {
    this.#all = true;
    this.#wake?.();
    await this.#watching;
  }

  /** Limits how often jobs of a lane start, over all workers, until changed. Undefined: no limit. */
  async limit(lane: string, rate: Rate | undefined): Promise<void> {
    const { queue } = this.#lane(lane);
    await this.#persist(async () => {
      if (rate === undefined) await queue.removeGlobalRateLimit();
      else await queue.setGlobalRateLimit(rate.jobs, rate.everyMs);
    });
  }

  /** The jobs that failed permanently in the last week, of all lanes; at most 1,000 per lane. */
  async dead(): Promise<DeadJob[]> {
    const found: DeadJob[] = [];
    for (const lane of await this.#persist(() => knownLanes(this.#link.redis))) {
      const jobs = await this.#persist(() => this.#lane(lane).queue.getFailed(0, 999));
      for (const { id, data, failedReason, attemptsMade } of jobs)
        found.push({ id: id!, lane, payload: data as unknown, reason: failedReason, attempts: attemptsMade });
    }
    return found;
  }

  /** Disconnects from Redis. Jobs remain. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    const parts = [...this.#lanes.values()].flatMap(({ queue, events }) =>
      events === undefined ? [queue] : [events, queue],
    );
    // Closing would wait forever if Redis is unavailable.
    await within(2000, Promise.allSettled(parts.map((part) => part.close())));
    this.#link.redis.disconnect();
  }

  #lane(lane: string, options: { readonly watched: boolean } = { watched: false }): Lane {
    let opened = this.#lanes.get(lane);
    if (opened === undefined) {
      const queue = new this.#bull.Queue(queueName(lane), { connection: this.#link.redis, prefix: PREFIX });
      // Failed commands reject by themselves, and the link reports lost connections.
      queue.on('error', () => undefined);
      opened = { queue, events: undefined };
      this.#lanes.set(lane, opened);
    }
    if (options.watched && opened.events === undefined) {
      const events = new this.#bull.QueueEvents(queueName(lane), { connection: this.#link.options, prefix: PREFIX });
      const told = ({ jobId }: { readonly jobId: string }): void => {
        if (!this.#outstanding.has(jobId)) return;
        this.#told.add(jobId);
        this.#wake?.();
      };
      events.on('completed', told);
      events.on('failed', told);
      events.on('error', () => undefined);
      opened.events = events;
    }
    return opened;
  }

  async #add(items: readonly QueueItem[]): Promise<void> {
    await announceLanes(this.#link.redis, [...new Set(items.map(({ lane }) => lane))]);
    for (const [lane, own] of byLane(items)) {
      const { queue } = this.#lane(lane, { watched: true });
      const there = await this.#look(own);
      const ended = there.filter(({ job }) => job?.finishedOn !== undefined);
      await Promise.all(ended.map(({ item }) => queue.remove(item.id)));
      await queue.addBulk(own.map((item) => ({ name: 'tag', data: item.payload, opts: this.#jobOptions(item.id) })));
    }
  }

  #jobOptions(jobId: string): JobsOptions {
    const { attempts, backoffMs } = this.#options;
    return {
      ...{ jobId, attempts, backoff: { type: 'exponential', delay: backoffMs, jitter: 0.5 } },
      removeOnComplete: { age: DAY_S },
      removeOnFail: { age: 7 * DAY_S },
      // Stack traces are useless to others and contain paths of the worker's machine.
      stackTraceLimit: 0,
    };
  }

  async #look(items: readonly QueueItem[]): Promise<{ readonly item: QueueItem; readonly job: Job | undefined }[]> {
    return Promise.all(
      items.map(async (item) => ({
        item,
        job: (await this.#lane(item.lane).queue.getJob(item.id)) as Job | undefined,
      })),
    );
  }

  /** Ensures that the end of each outstanding job is reported. Throws AbortError. */
  async #watch(): Promise<void> {
    let [next, spent] = [0, 0];
    while (!this.#closed && !(this.#all && this.#outstanding.size === 0)) {
      const all = performance.now() >= next;
      const ids = all ? [...this.#outstanding.keys()] : [...this.#told];
      this.#told.clear();
      const began = performance.now();
      for (let start = 0; start < ids.length; start += BATCH) await this.#settle(ids.slice(start, start + BATCH));
      if (all) {
        spent = performance.now() - began;
        // With very many jobs, checking all of them must not take all the time.
        next = performance.now() + Math.max(LOOK_MS, 10 * spent);
      }
      if (this.#told.size === 0 && !(this.#all && this.#outstanding.size === 0))
        await this.#sleep(next - performance.now());
    }
  }

  async #settle(ids: readonly string[]): Promise<void> {
    const items = ids.flatMap((id) => this.#outstanding.get(id)?.item ?? []);
    const found = await this.#persist(() => this.#look(items));
    // A Redis that crashed before it saved the job has lost it.
    const lost = found.filter(({ job }) => job === undefined).map(({ item }) => item);
    if (lost.length > 0) await this.#persist(() => this.#add(lost));
    for (const { item, job } of found) {
      if (job?.finishedOn === undefined) continue;
      const { finish } = this.#outstanding.get(item.id)!;
      this.#outstanding.delete(item.id);
      const reason = job.failedReason as string | undefined;
      const dead = reason !== undefined && reason !== '';
      const result: unknown = dead ? (isObject(job.progress) ? job.progress : undefined) : job.returnvalue;
      for (const tell of finish)
        tell({
          id: item.id,
          state: dead ? 'dead' : 'done',
          result,
          reason: dead ? reason.split('\n', 1)[0] : undefined,
        });
    }
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#options;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      await delay(Math.max(0, ms), AbortSignal.any([signal, woken.signal]));
    } catch {
      signal.throwIfAborted();
    } finally {
      this.#wake = undefined;
    }
  }

  #refusedError(error: Error): Error {
    const { host, text } = this.#address;
    return new TransportError(`${text} refused a command: ${error.message.split('\n', 1)[0]}`, {
      ...{ host, phase: 'request', cause: error },
      hint: 'see its log; the jobs added so far remain',
    });
  }

  /** Repeats `work` until Redis is available. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      try {
        return await orAborted(work(), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isRedisAway(error)) throw this.#refusedError(error as Error);
        await delay(RETRY_MS, signal);
      }
    }
  }
}

function byLane(items: readonly QueueItem[]): Map<string, QueueItem[]> {
  const lanes = new Map<string, QueueItem[]>();
  for (const item of items) {
    const own = lanes.get(item.lane);
    if (own === undefined) lanes.set(item.lane, [item]);
    else own.push(item);
  }
  return lanes;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
