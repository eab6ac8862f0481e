import { DigestMismatchError, SizeMismatchError } from '../../errors.js';
import type { Ingest } from '../../content/index.js';
import type { BlobSource } from '../../registry/index.js';
import { resumeBody, type ResumeOptions } from '../../util/index.js';
import { receiveParts } from './receive-parts.js';

/** Options of `fetchBlob`. */
export interface FetchBlobOptions extends ResumeOptions {
  /** Called after each chunk with the number of bytes in the store. */
  readonly onProgress?: ((transferred: number) => void) | undefined;
}

/** The result of a download. */
export interface FetchBlobResult {
  /** Bytes received from the network, including discarded ones. */
  readonly received: number;
  /** The bytes were wrong and were downloaded again, so readers of `ingest.growing` must start over. */
  readonly refetched: boolean;
}

/** The least size for which a download in parts is worthwhile. Bytes. */
const LARGE_BYTES = 24 * 1024 * 1024;
/** Size of a part. Parts wait in memory for earlier ones. Bytes. */
const PART_BYTES = 4 * 1024 * 1024;
/** If the first part takes longer, more connections are opened, unless their number is given. Milliseconds. */
const SLOW_PART_MS = 1500;
const AUTO_CONNECTIONS = 6;

/** Bytes received so far, and whether the last response was the requested range. */
interface State {
  received: number;
  ranged: boolean;
}

/**
 * Downloads a blob into `ingest` and commits it. Resumes broken connections. If the bytes turn out to be wrong,
 * downloads them again: once, or from each place that has the blob. On failure releases the ingest; bytes that are not
 * known to be wrong are kept for the next run. Throws the errors of BlobSource.open and Ingest.commit.
 */
export async function fetchBlob(
  source: BlobSource,
  ingest: Ingest,
  options: FetchBlobOptions,
): Promise<FetchBlobResult> {
  const state: State = { received: 0, ranged: false };
  let attempts = 0;
  try {
    for (;;) {
      try {
        await receiveAll(source, ingest, options, state);
        await ingest.commit();
        return { received: state.received, refetched: attempts > 0 };
      } catch (error) {
        if (!(error instanceof DigestMismatchError || error instanceof SizeMismatchError)) throw error;
        await ingest.restart();
        if (++attempts > Math.max(1, (source.places ?? 1) - 1)) throw error;
        options.onRetry?.(`${error.message}; fetching it again`);
      }
    }
  } finally {
    await ingest.release();
  }
}

/** Receives the missing bytes as one stream, or the bulk of a large blob in parts if that is faster. */
async function receiveAll(source: BlobSource, ingest: Ingest, options: FetchBlobOptions, state: State): Promise<void> {
  const { size } = ingest.descriptor;
  const { connections = 1 } = source;
  const most = connections === 'auto' ? AUTO_CONNECTIONS : connections;
  if (most > 1 && size - ingest.offset >= LARGE_BYTES) {
    // The first part shows whether the server supports ranges, and the speed of one connection.
    const started = performance.now();
    await receive(source, ingest, { ...options, until: ingest.offset + PART_BYTES }, state);
    const slow = performance.now() - started > SLOW_PART_MS;
    if (state.ranged && ingest.offset < size && (slow || connections !== 'auto')) {
      await receiveParts(source, ingest, { ...options, connections: most, partBytes: PART_BYTES }, state);
    }
  }
  await receive(source, ingest, { ...options, until: size }, state);
}

/** Receives one stream up to byte `until` and resumes broken connections. */
async function receive(
  source: BlobSource,
  ingest: Ingest,
  options: FetchBlobOptions & { readonly until: number },
  state: State,
): Promise<void> {
  const { signal, until } = options;
  const isPart = until < ingest.descriptor.size;
  const receiveRest = async (): Promise<void> => {
    while (ingest.offset < until) {
      const start = ingest.offset;
      const length = isPart ? { length: until - start } : {};
      const { body, restarted, ranged = false } = await source.open({ signal, offset: start, ...length });
      state.ranged = ranged;
      let skip = restarted ? start : 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        state.received += chunk.length;
        const useful = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - useful.length;
        if (useful.length === 0) continue;
        await ingest.write(useful);
        options.onProgress?.(ingest.offset);
      }
      // The body has ended early without an error, so `commit` will fail.
      if (ingest.offset === start) return;
    }
  };
  await resumeBody(receiveRest, () => ingest.offset, options);
}
