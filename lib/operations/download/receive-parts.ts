import { TransportError } from '../../errors.js';
import type { Ingest } from '../../content/index.js';
import type { BlobSource } from '../../registry/index.js';
import { backoffMs, delay } from '../../util/index.js';
import { UNHURRIED_BYTES } from '../registry/index.js';

/** Options of `receiveParts`. */
export interface ReceivePartsOptions {
  readonly signal: AbortSignal;
  /** Parts under way at once. */
  readonly connections: number;
  /** Bytes. */
  readonly partBytes: number;
  /** Failures in a row, of one part, that bring nothing. Default 5. */
  readonly retries?: number;
  /** Milliseconds. */
  readonly backoffBaseMs?: number;
  /** Told how many bytes are here, those that wait for an earlier part included. */
  readonly onProgress?: (transferred: number) => void;
  /** Told once for each break, with a line for people. */
  readonly onRetry?: (message: string) => void;
}

const DEFAULT_RETRIES = 5;

/** The server sent something else than the part that was asked for. */
class NotRangedError extends Error {}

/**
 * Receives the rest of a blob in parts, several at once, and hands them to `ingest` in order: what it holds is always a
 * beginning of the blob, so its reader goes on meanwhile and a later process resumes there. At most `connections` parts are
 * held in memory. A part whose connection breaks goes on where it broke. Returns early when the server stops to honour
 * ranges. Throws what BlobSource.open throws.
 */
export async function receiveParts(
  source: BlobSource,
  ingest: Ingest,
  options: ReceivePartsOptions,
  state: { received: number },
): Promise<void> {
  const { size } = ingest.descriptor;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const underWay: Promise<readonly Buffer[]>[] = [];
  let transferred = ingest.offset;
  let next = ingest.offset;
  const received = (bytes: number): void => {
    state.received += bytes;
    transferred += bytes;
    options.onProgress?.(Math.min(size, transferred));
  };
  try {
    while (next < size || underWay.length > 0) {
      while (next < size && underWay.length < options.connections) {
        const length = Math.min(options.partBytes, size - next);
        const part = receivePart(source, { ...options, signal, offset: next, length, received });
        // The first in order is awaited; the failure of a later one is met when its turn comes.
        part.catch(() => undefined);
        underWay.push(part);
        next += length;
      }
      for (const chunk of await underWay.shift()!) await ingest.write(chunk);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof NotRangedError)) throw error;
  } finally {
    stop.abort();
    await Promise.allSettled(underWay);
  }
}

async function receivePart(
  source: BlobSource,
  options: ReceivePartsOptions & {
    readonly offset: number;
    readonly length: number;
    readonly received: (bytes: number) => void;
  },
): Promise<readonly Buffer[]> {
  const { signal, offset, length, received, retries = DEFAULT_RETRIES } = options;
  const chunks: Buffer[] = [];
  let held = 0;
  let failures = 0;
  while (held < length) {
    const before = held;
    try {
      const { body, ranged } = await source.open({ signal, offset: offset + held, length: length - held });
      if (ranged !== true) {
        body.destroy();
        throw new NotRangedError();
      }
      for await (const chunk of body as AsyncIterable<Buffer>) {
        // More than was asked for is nobody's.
        const useful = chunk.subarray(0, length - held);
        chunks.push(useful);
        held += useful.length;
        received(useful.length);
      }
      if (held === before) throw new NotRangedError();
    } catch (error) {
      signal.throwIfAborted();
      const brought = held - before;
      failures = brought > 0 ? 1 : failures + 1;
      if (!(error instanceof TransportError) || failures > retries) throw error;
      options.onRetry?.(`${error.message}; going on at byte ${offset + held}`);
      // A connection that brought much was cut by somebody's limit: there is nothing to wait for.
      if (brought < UNHURRIED_BYTES) await delay(backoffMs(failures, options.backoffBaseMs), signal);
    }
  }
  return chunks;
}
