import { TransportError } from '../errors.js';
import { backoffMs } from './backoff.js';
import { delay } from './delay.js';

const DEFAULT_RETRIES = 5;
/** A connection that brought this much was worth it: the count of failures starts again. Bytes. */
const PROGRESS_BYTES = 64 * 1024;
/** A connection that brought this much was cut by a limit of the server: there is nothing to wait for. Bytes. */
const NO_WAIT_BYTES = 512 * 1024;

/** How a download is resumed. */
export interface ResumeOptions {
  readonly signal: AbortSignal;
  /** Connections in a row that may break without bringing much. Default 5. */
  readonly retries?: number | undefined;
  /** Wait before the second of them, doubled for each further one. Default 250. Milliseconds. */
  readonly backoffBaseMs?: number | undefined;
  /** Called once for each break, with a line for people. */
  readonly onRetry?: ((message: string) => void) | undefined;
}

/**
 * Calls `receive`, and calls it again when its connection breaks in the middle of a body: it continues at byte `position()`.
 * Everything else that `receive` throws is thrown, so failures to connect are: the client has retried those.
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
