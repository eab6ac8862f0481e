import { TransportError } from '../errors.js';
import { backoffMs } from './backoff.js';
import { delay } from './delay.js';

const DEFAULT_RETRIES = 5;
/** After this much progress on one connection, the count of failures restarts. Bytes. */
const PROGRESS_BYTES = 64 * 1024;
/** After this much progress, a server limit probably cut the connection, so the next attempt starts without delay. Bytes. */
const NO_WAIT_BYTES = 512 * 1024;

export interface ResumeOptions {
  readonly signal: AbortSignal;
  /** Consecutive connections that may break without progress. Default 5. */
  readonly retries?: number | undefined;
  /** Delay before the second of them; it doubles with each further one. Default 250. Milliseconds. */
  readonly backoffBaseMs?: number | undefined;
  /** Called with a message for users on each interruption. */
  readonly onRetry?: ((message: string) => void) | undefined;
}

/**
 * Calls `receive`, and calls it again when the connection breaks in the middle of a body; it then continues at byte
 * `position()`. Throws all other errors of `receive`, including failures to connect, which the client has already
 * retried.
 */
export async function resumeBody(
  receive: () => Promise<void>,
  position: () => number,
  { signal, retries = DEFAULT_RETRIES, backoffBaseMs, onRetry }: ResumeOptions,
): Promise<void> {
  for (let failures = 0; ;) {
    const start = position();
    try {
      return await receive();
    } catch (error) {
      signal.throwIfAborted();
      const brought = position() - start;
      failures = brought >= PROGRESS_BYTES ? 1 : failures + 1;
      const broke = error instanceof TransportError && (brought > 0 || error.phase === 'body');
      if (!broke || failures > retries) throw error;
      onRetry?.(`${error.message}; resuming at byte ${position()}`);
      if (brought < NO_WAIT_BYTES) await delay(backoffMs(failures, backoffBaseMs), signal);
    }
  }
}
