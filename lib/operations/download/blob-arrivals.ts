import { closeSync, openSync } from 'node:fs';
import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import { GrowingFile } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { fetchBlob } from './fetch-blob.js';

/** A blob on its way into the store: readable from `fd` as far as `growing` says. */
export interface Arrival {
  readonly fd: number;
  readonly growing: GrowingFile;
}

/** The downloads of one image: each digest once, bottom layers first. `close` releases the descriptors. */
export interface BlobArrivals {
  /** As soon as the first bytes may be read (or the blob is complete). */
  readable(digest: Digest): Promise<Arrival>;
  /** When the blob is verified and published; tells whether this process fetched it. */
  done(digest: Digest): Promise<'fetched' | 'present'>;
  close(): Promise<void>;
}

/** Starts fetching all of `blobs` (oldest first) that the store lacks. Abort through `signal`; always `close`. */
export function startArrivals(
  deps: Pick<OperationDeps, 'content' | 'progress'>,
  repository: RepositoryReader,
  options: { readonly blobs: readonly Descriptor[]; readonly signal: AbortSignal },
): BlobArrivals {
  const fds: number[] = [];
  const arriving = new Map<Digest, { readable: Promise<Arrival>; done: Promise<'fetched' | 'present'> }>();
  options.blobs.forEach((descriptor, position) => {
    if (arriving.has(descriptor.digest)) return;
    const { promise: readable, resolve, reject } = deferred<Arrival>();
    const done = fetchOne(
      deps,
      repository,
      { descriptor, priority: -position, signal: options.signal },
      (path, growing) => {
        const fd = openSync(path, 'r');
        fds.push(fd);
        resolve({ fd, growing });
      },
    );
    done.catch(reject);
    // Whoever waits sees the failure; nobody waiting is no crash.
    readable.catch(() => undefined);
    arriving.set(descriptor.digest, { readable, done });
  });
  return {
    readable: (digest) => arriving.get(digest)!.readable,
    done: (digest) => arriving.get(digest)!.done,
    close: async () => {
      await Promise.allSettled([...arriving.values()].map((entry) => entry.done));
      for (const fd of fds) closeSync(fd);
    },
  };
}

async function fetchOne(
  deps: Pick<OperationDeps, 'content' | 'progress'>,
  repository: RepositoryReader,
  { descriptor, priority, signal }: { descriptor: Descriptor; priority: number; signal: AbortSignal },
  onReadable: (path: string, growing: GrowingFile) => void,
): Promise<'fetched' | 'present'> {
  const { digest, size: total } = descriptor;
  const event = (
    state: 'waiting' | 'active' | 'skipped' | 'retrying' | 'done',
    transferred?: number,
    message?: string,
  ): void =>
    deps.progress.event({
      v: 1,
      kind: 'blob',
      action: 'fetch',
      digest,
      state,
      total,
      ...(transferred === undefined ? {} : { transferred }),
      ...(message === undefined ? {} : { message }),
    });
  const ingest = await deps.content.beginIngest(descriptor, { signal, onWait: () => event('waiting') });
  if (ingest === undefined) {
    onReadable(deps.content.path(digest), GrowingFile.complete(total));
    event('skipped');
    return 'present';
  }
  try {
    onReadable(ingest.path, ingest.growing);
    await fetchBlob(repository.blob(descriptor, { priority }), ingest, {
      signal,
      onProgress: (bytes) => event('active', bytes),
      onRetry: (message) => event('retrying', ingest.offset, message),
    });
    event('done', total);
    return 'fetched';
  } finally {
    await ingest.release();
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
