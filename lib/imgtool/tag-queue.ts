import { UsageError } from '../errors.js';
import type { SyncRule, TagQueue } from '../operations/index.js';
import type { Drivers } from './drivers.js';
import { TagLimits } from './tag-limits.js';

const BACKOFF_MS = 1000;
/** Interval of progress notes in ms. */
const TELL_MS = 10_000;

interface TagQueueOptions {
  /** `[HOST=]N/TIME` each. */
  readonly rate: readonly string[];
  /** Attempts per tag. */
  readonly attempts: number;
  readonly signal: AbortSignal;
}

/**
 * Opens the queue of the settings, undefined if none is set, with the requested limits; the caller closes it. Throws
 * UsageError, TransportError, AuthenticationError.
 */
export async function openTagQueue(
  drivers: Drivers,
  rules: readonly SyncRule[],
  { rate: given, attempts, signal }: TagQueueOptions,
): Promise<(TagQueue & { close(): Promise<void> }) | undefined> {
  const { progress } = drivers;
  if (drivers.settings.queue === undefined) {
    if (given.length === 0) return undefined;
    throw new UsageError('--rate requires --queue', {
      hint: 'without workers, --parallel and --limit-rate are the limits',
    });
  }
  if (rules.some(({ sourceAccess, targetAccess }) => sourceAccess !== undefined || targetAccess !== undefined)) {
    throw new UsageError('logins and certificates given for a command do not go into a queue', {
      hint: 'workers use those of their own machine: imgtool login HOST there',
    });
  }
  if (rules.some(({ isV1, conversion }) => isV1 === true || conversion !== undefined)) {
    throw new UsageError('mirrors in another form, and those of protocol v1, do not go into a queue', {
      hint: 'leave out --queue for them',
    });
  }
  const limits = await TagLimits.read(given, rules, (text) => drivers.rate(text));
  const queue = await drivers.jobQueue({ attempts, backoffMs: BACKOFF_MS, signal });
  let [all, ended, dead] = [0, 0, 0];
  const timer = setInterval(() => {
    if (ended < all) progress.note(`${ended} of ${all} tags have ended, ${dead} of them failed`);
  }, TELL_MS);
  const close = async (): Promise<void> => {
    clearInterval(timer);
    await queue.close();
  };
  try {
    for (const [host, rate] of limits.rates) await queue.limit(host, rate);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    put: async (items, onFinished) => {
      all += items.length;
      const inLanes = items.map((item) => ({ ...item, lane: limits.laneOf(item) }));
      await queue.put(inLanes, (item, job) => {
        ended++;
        if (job.state === 'dead') dead++;
        onFinished(item, job);
      });
    },
    settled: () => queue.settled(),
    close,
  };
}
