import { UsageError } from '../errors.js';
import { delay } from '../util/index.js';

/** Run times of a repeated command. */
export interface Schedule {
  /** True when the first run starts at once. */
  readonly startsNow: boolean;
  /** The next time in ms since 1970, varied a little so that many mirrors do not hit a registry at the same moment. */
  next(): number;
}

/** Node's timers are limited to 25 days; waking this often also detects clock changes and suspend. */
const LOOK_MS = 30_000;
const MAX_JITTER_MS = 60_000;
const HINT = 'write an interval, such as 15m, or a time as cron does, such as "0 3 * * *" (03:00 each day) or @hourly';

/**
 * Parses `--watch`: a duration (`15m`) or a cron pattern (five fields, six with seconds, or `@daily`) in the local time
 * zone. Throws UsageError for an invalid value and for a pattern that never matches.
 */
export async function readSchedule(
  text: string,
  parseAge: (text: string) => number,
  random: () => number = Math.random,
): Promise<Schedule> {
  if (!/[\s@]/.test(text.trim())) {
    const intervalMs = parsed(text, () => parseAge(text));
    return { startsNow: true, next: () => Date.now() + intervalMs * (0.9 + random() / 5) };
  }
  const { Cron } = await import('croner');
  const pattern = parsed(text, () => new Cron(text, { mode: '5-or-6-parts' }));
  const next = (): number => {
    const [at, after] = pattern.nextRuns(2);
    if (at === undefined) throw scheduleError(text, 'there is no such time');
    const gapMs = after === undefined ? Infinity : after.getTime() - at.getTime();
    return at.getTime() + Math.min(gapMs / 10, MAX_JITTER_MS) * random();
  };
  next();
  return { startsNow: false, next };
}

function parsed<T>(text: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // Croner's message helps for a bad value, but not for a missing pattern.
    const { message } = error as Error;
    throw scheduleError(text, /invalid value/i.test(message) ? message.replace(/^CronPattern: /, '') : undefined);
  }
}

function scheduleError(text: string, why?: string): UsageError {
  const what = `--watch ${JSON.stringify(text.slice(0, 100))} is neither an interval nor a cron expression`;
  return new UsageError(why === undefined ? what : `${what}: ${why}`, { hint: HINT });
}

/** Resolves at a clock time in ms since 1970; rejects with the signal's reason. */
export async function waitUntil(time: number, signal: AbortSignal): Promise<void> {
  for (let left = time - Date.now(); left > 0; left = time - Date.now()) await delay(Math.min(left, LOOK_MS), signal);
}

/** `2026-11-25 03:00:12 CET`: a time in the local time zone (`TZ`). */
export function localTime(time: number): string {
  const date = new Date(time);
  const two = (part: number): string => String(part).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  const hour = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(date);
  return `${day} ${hour} ${parts.find(({ type }) => type === 'timeZoneName')?.value ?? ''}`.trimEnd();
}
