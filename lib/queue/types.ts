/** The address and credentials of Redis. Only `text` may be displayed. */
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

/** How many jobs of a lane may start within a period, over all workers. */
export interface Rate {
  readonly jobs: number;
  /** The period, in ms. */
  readonly everyMs: number;
}

/** A job. The queue never contains the same `id` twice. */
export interface QueueItem {
  /** Letters, digits and dashes; starts with a letter. */
  readonly id: string;
  /** Jobs of one lane share a rate limit. Letters, digits and `._:[]-`. */
  readonly lane: string;
  /** JSON. Must not contain secrets: everyone with access to the Redis server can read it. */
  readonly payload: unknown;
}

/**
 * How a job ended. `result`: the worker's JSON result, undefined when there was none. It must be validated, because
 * anyone with write access to Redis could have written it.
 */
export interface FinishedJob {
  readonly id: string;
  readonly state: 'done' | 'dead';
  readonly result: unknown;
  /** Why it failed permanently, on one line. */
  readonly reason: string | undefined;
}

/** A job that failed permanently. */
export interface DeadJob {
  readonly id: string;
  readonly lane: string;
  readonly payload: unknown;
  readonly reason: string;
  /** Number of attempts. */
  readonly attempts: number;
}

/** The outcome of one attempt. `failure`: it failed; with `retry` it is repeated later. */
export interface JobTry {
  /** JSON; passed on to the next attempt. */
  readonly result: unknown;
  readonly failure?: { readonly reason: string; readonly retry: boolean } | undefined;
}

/** Runs one job. `previous`: the result of the previous attempt. Rejects only when `signal` aborts; the job is then returned. */
export type DoJob = (
  payload: unknown,
  options: { readonly previous: unknown; readonly signal: AbortSignal },
) => Promise<JobTry>;
