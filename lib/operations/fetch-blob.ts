import { DigestMismatchError, SizeMismatchError, TransportError } from '../errors.js';
import type { Ingest } from '../content/index.js';
import type { BlobSource } from '../registry/index.js';
import { backoffMs, delay } from '../util/index.js';

/** Options of `fetchBlob`. */
export interface FetchBlobOptions {
  readonly signal: AbortSignal;
  /** Resumptions in a row that may fail to bring anything. Default 5. */
  readonly retries?: number;
  /** Wait before the first resumption, doubled for each further one. Default 250. Milliseconds. */
  readonly backoffBaseMs?: number;
  /** Told how many bytes are here, after each chunk. */
  readonly onProgress?: (transferred: number) => void;
  /** Told once for each break, with a line for people. */
  readonly onRetry?: (message: string) => void;
}

/** How a fetch went. */
export interface FetchBlobResult {
  /** Bytes taken from the network, those that were of no use included. */
  readonly received: number;
  /** The bytes were wrong once and were fetched again: who read `ingest.growing` meanwhile must read anew. */
  readonly refetched: boolean;
}

/** A connection that brought this much was worth it: the count of failures starts again. Bytes. */
const PROGRESS_BYTES = 64 * 1024;
const DEFAULT_RETRIES = 5;

/**
 * Downloads a blob into `ingest` and commits it. A cut connection is resumed from where it broke; bytes that turn out wrong
 * are fetched once more from the start. On failure the ingest is released: what is not known to be wrong stays for the next run.
 * Throws what BlobSource.open and Ingest.commit throw.
 */
export async function fetchBlob(
  source: BlobSource,
  ingest: Ingest,
  options: FetchBlobOptions,
): Promise<FetchBlobResult> {
  const state = { received: 0 };
  let refetched = false;
  try {
    for (;;) {
      try {
        await receiveAll(source, ingest, options, state);
        await ingest.commit();
        return { received: state.received, refetched };
      } catch (error) {
        if (!(error instanceof DigestMismatchError || error instanceof SizeMismatchError)) throw error;
        await ingest.restart();
        if (refetched) throw error;
        refetched = true;
        options.onRetry?.(`${error.message}; fetching it again`);
      }
    }
  } finally {
    await ingest.release();
  }
}

async function receiveAll(
  source: BlobSource,
  ingest: Ingest,
  options: FetchBlobOptions,
  state: { received: number },
): Promise<void> {
  const { signal, retries = DEFAULT_RETRIES } = options;
  const { size } = ingest.descriptor;
  let failures = 0;
  while (ingest.offset < size) {
    const start = ingest.offset;
    const { body, restarted } = await source.open({ signal, offset: start });
    // What is here already is skipped when it is sent again: it goes through the digest all the same.
    let skip = restarted ? start : 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        state.received += chunk.length;
        const useful = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - useful.length;
        if (useful.length === 0) continue;
        await ingest.write(useful);
        options.onProgress?.(ingest.offset);
      }
      // A body that ended early without an error is all there is; commit says so.
      if (ingest.offset === start) return;
    } catch (error) {
      signal.throwIfAborted();
      failures = ingest.offset - start >= PROGRESS_BYTES ? 1 : failures + 1;
      if (!(error instanceof TransportError) || failures > retries) throw error;
      options.onRetry?.(`${error.message}; going on at byte ${ingest.offset}`);
      await delay(backoffMs(failures, options.backoffBaseMs), signal);
    }
  }
}
