import { delay, onAbort } from '../util/index.js';

/** Resolves when `work` has settled, or after `ms` milliseconds. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const limit = new AbortController();
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([settled, delay(ms, limit.signal).catch(() => undefined)]);
  limit.abort();
}

/** The result of `work`; rejects when `signal` aborts first, because commands to an unavailable Redis never settle. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let forgetAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    forgetAbort = onAbort(signal, () => reject(signal.reason as Error));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    forgetAbort?.();
    // Its later result is irrelevant.
    work.catch(() => undefined);
  }
}
