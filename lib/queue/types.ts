/** Where Redis is and how to get in. Only `text` may be shown. */
export interface QueueAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: boolean;
  /** The URL without its secrets. */
  readonly text: string;
}

/** How many jobs of a lane may begin in a span of time, over all workers. */
export interface Rate {
  readonly jobs: number;
  /** Milliseconds. */
  readonly everyMs: number;
}

/** One job. The same `id` is never in the queue twice. */
export interface QueueItem {
  /** Letters, digits and dashes, with a letter first. */
  readonly id: string;
  /** What shares a rate limit: letters, digits and `._:[]-`. */
  readonly lane: string;
  /** JSON. No secrets: everyone with access to the Redis server can read it. */
  readonly payload: unknown;
}

/**
 * How a job ended; `result`: what the worker made of it, as JSON, undefined when it never got that far. To be validated: who
 * can write to the Redis can have made it.
 */
export interface FinishedJob {
  readonly id: string;
  readonly state: 'done' | 'dead';
  readonly result: unknown;
  /** Why it is dead, one line. */
  readonly reason: string | undefined;
}

/** A job that was given up. */
export interface DeadJob {
  readonly id: string;
  readonly lane: string;
  readonly payload: unknown;
  readonly reason: string;
  /** Times it was tried. */
  readonly attempts: number;
}

/** What a worker made of one try. `failure`: it did not work; with `retry` it is tried again later. */
export interface JobTry {
  /** JSON; kept from try to try. */
  readonly result: unknown;
  readonly failure?: { readonly reason: string; readonly retry: boolean } | undefined;
}

/** Does one job. `previous`: result of the try before. Rejects only when `signal` aborts: then the job is given back. */
export type DoJob = (
  payload: unknown,
  options: { readonly previous: unknown; readonly signal: AbortSignal },
) => Promise<JobTry>;
