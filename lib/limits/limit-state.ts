/** The known limits of one host. Times are milliseconds of `sharedClock`. */
export interface LimitState {
  /** No request starts before this time. */
  readonly notBefore: number;
  /** When the next request may start, after all requests that have taken their turns. */
  readonly nextTurn: number;
  /** Requests per second of all processes together. */
  readonly perSecond: number;
  /** Concurrent transfers per process. */
  readonly parallel: number;
  /** When the rate was last halved. */
  readonly refusedAt: number;
  /** When the host last sent information about limits. */
  readonly heardAt: number;
}

/** The longest pause accepted from a server or a file. Milliseconds. */
export const MAX_PAUSE_MS = 120_000;

/** The rate after a first refusal when the server does not state its limit. */
const FIRST_PER_SECOND = 5;
const LEAST_PER_SECOND = 0.5;
const MOST_PER_SECOND = 100;
const MOST_PARALLEL = 64;
const GROWTH_PER_SECOND = 0.1;
const GROWTH_PARALLEL = 0.1;
/** A host without refusals for this long counts as unlimited. Milliseconds. */
const FORGET_MS = 300_000;

/** The current time of a clock that all processes of this machine share and that cannot be set. Milliseconds. */
export function sharedClock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** The state after the refusal of a request that was sent at `sentAt` by a process with `parallel` transfers. */
export function afterRefusal(
  state: LimitState | undefined,
  refusal: { readonly now: number; readonly sentAt: number; readonly pauseMs: number; readonly parallel: number },
): LimitState {
  const { now, sentAt, parallel } = refusal;
  const notBefore = Math.max(state?.notBefore ?? 0, now + Math.min(refusal.pauseMs, MAX_PAUSE_MS));
  // Requests already in progress at the time of the refusal do not count again.
  if (state !== undefined && sentAt <= state.refusedAt) return { ...state, notBefore, heardAt: now };
  const { perSecond = 2 * FIRST_PER_SECOND, parallel: allowed = parallel } = state ?? {};
  return {
    notBefore,
    nextTurn: notBefore,
    perSecond: Math.max(LEAST_PER_SECOND, perSecond / 2),
    parallel: Math.max(1, Math.min(allowed, parallel, MOST_PARALLEL) / 2),
    refusedAt: now,
    heardAt: now,
  };
}

/** The state after a server has announced its remaining requests. `perSecond` is slow enough to avoid a refusal. */
export function afterWarning(
  state: LimitState | undefined,
  warning: { readonly now: number; readonly perSecond: number; readonly pauseMs: number },
): LimitState {
  const { now, pauseMs } = warning;
  const perSecond = Math.max(LEAST_PER_SECOND, Math.min(state?.perSecond ?? MOST_PER_SECOND, warning.perSecond));
  const notBefore = Math.max(state?.notBefore ?? 0, now + Math.min(pauseMs, MAX_PAUSE_MS));
  return {
    notBefore,
    nextTurn: Math.max(state?.nextTurn ?? 0, now + 1000 / perSecond),
    perSecond,
    parallel: state?.parallel ?? MOST_PARALLEL,
    refusedAt: state?.refusedAt ?? 0,
    heardAt: now,
  };
}

/** Takes the next turn after `successes` responses without refusal. Undefined: the host is unlimited again, send at once. */
export function takeTurn(
  state: LimitState,
  { now, successes }: { readonly now: number; readonly successes: number },
): { readonly at: number; readonly state: LimitState | undefined } {
  const perSecond = state.perSecond + successes * GROWTH_PER_SECOND;
  if (perSecond > MOST_PER_SECOND || now - state.heardAt > FORGET_MS) return { at: now, state: undefined };
  const parallel = Math.min(MOST_PARALLEL, state.parallel + successes * GROWTH_PARALLEL);
  const at = Math.min(now + MAX_PAUSE_MS, Math.max(now, state.notBefore, state.nextTurn));
  return { at, state: { ...state, perSecond, parallel, nextTurn: at + 1000 / perSecond } };
}

/** Parses a state written by another process. Undefined for implausible values. */
export function parseLimitState(text: string, now: number): LimitState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { notBefore, nextTurn, perSecond, parallel, refusedAt, heardAt } = value as Record<string, unknown>;
  const between = (number: unknown, from: number, to: number): number =>
    typeof number === 'number' && number >= from && number <= to ? number : NaN;
  const latest = now + MAX_PAUSE_MS + 1000 / LEAST_PER_SECOND;
  const state: LimitState = {
    notBefore: between(notBefore, 0, latest),
    nextTurn: between(nextTurn, 0, latest),
    perSecond: between(perSecond, LEAST_PER_SECOND, MOST_PER_SECOND),
    parallel: between(parallel, 1, MOST_PARALLEL),
    refusedAt: between(refusedAt, 0, now),
    heardAt: between(heardAt, 0, now),
  };
  return Object.values(state).some((number) => Number.isNaN(number)) ? undefined : state;
}
