import type { Ingest } from '../../content/index.js';
import type { BlobSource } from '../../registry/index.js';
import { resumeBody, type ResumeOptions } from '../../util/index.js';

/** Options of `receiveParts`. */
interface ReceivePartsOptions extends ResumeOptions {
  /** The number of concurrent parts. */
  readonly connections: number;
  /** Size of a part. Bytes. */
  readonly partBytes: number;
  /** Called with the number of bytes received, including parts that wait for earlier ones. */
  readonly onProgress?: ((transferred: number) => void) | undefined;
}

/** The server did not send the requested range. */
class NotRangedError extends Error {}

/**
 * Receives the rest of a blob in concurrent parts and writes them to `ingest` in order. The ingest thus always contains
 * the beginning of the blob, which can be read meanwhile and from which a later process resumes. Keeps at most
 * `connections` parts in memory. Resumes parts with broken connections. Returns early if the server stops supporting
 * ranges. Throws the errors of BlobSource.open.
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
        // Awaits the parts in order; the failure of a later part is thrown in its turn.
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
  const { signal, offset, length, received } = options;
  const chunks: Buffer[] = [];
  let held = 0;
  const receiveRest = async (): Promise<void> => {
    while (held < length) {
      const before = held;
      const { body, ranged } = await source.open({ signal, offset: offset + held, length: length - held });
      if (ranged !== true) {
        body.destroy();
        throw new NotRangedError();
      }
      for await (const chunk of body as AsyncIterable<Buffer>) {
        // A server may send more bytes than requested.
        const useful = chunk.subarray(0, length - held);
        chunks.push(useful);
        held += useful.length;
        received(useful.length);
      }
      if (held === before) throw new NotRangedError();
    }
  };
  await resumeBody(receiveRest, () => offset + held, options);
  return chunks;
}
