import { closeSync, openSync } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import type { ProgressState } from '../../progress/index.js';
import type { BlobReader, BlobSource, Descriptor, Digest, ReopenableBlob } from '../../spec/index.js';
import { GrowingFile } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { fetchBlob } from './fetch-blob.js';

/** A blob that is being downloaded: `fd` is readable up to the length in `growing`. */
export interface ReadableBlob {
  readonly fd: number;
  readonly growing: GrowingFile;
}

/** The downloads of an image, one per digest, lowest layers first. `close` closes the descriptors. */
export interface BlobDownloads {
  /** Resolves as soon as the blob can be read. */
  readable(digest: Digest): Promise<ReadableBlob>;
  /** Resolves when the blob is verified and stored. `fetched`: by this process. */
  done(digest: Digest): Promise<'fetched' | 'present'>;
  close(): Promise<void>;
}

type DownloadDeps = Pick<OperationDeps, 'content' | 'progress'>;

/**
 * Starts to download those of `blobs` (oldest first) that the store lacks. The caller must close the result, and can
 * abort through `signal`.
 */
export function startDownloads(
  deps: DownloadDeps,
  source: BlobReader,
  options: { readonly blobs: readonly Descriptor[]; readonly signal: AbortSignal },
): BlobDownloads {
  const fds: number[] = [];
  const downloads = new Map<Digest, { readable: Promise<ReadableBlob>; done: Promise<'fetched' | 'present'> }>();
  options.blobs.forEach((descriptor, position) => {
    if (downloads.has(descriptor.digest)) return;
    const { promise: readable, resolve, reject } = deferred<ReadableBlob>();
    const blob = source.blob(descriptor, { priority: -position });
    const done = download(deps, blob, options.signal, (path, growing) => {
      const fd = openSync(path, 'r');
      fds.push(fd);
      resolve({ fd, growing });
    });
    done.catch(reject);
    // Avoids an unhandled rejection when nobody awaits it.
    readable.catch(() => undefined);
    downloads.set(descriptor.digest, { readable, done });
  });
  return {
    readable: (digest) => downloads.get(digest)!.readable,
    done: (digest) => downloads.get(digest)!.done,
    close: async () => {
      await Promise.allSettled([...downloads.values()].map((entry) => entry.done));
      for (const fd of fds) closeSync(fd);
    },
  };
}

/** Downloads the missing blobs and waits for all of them. Throws as `fetchBlob`. */
export async function fetchBlobs(
  deps: DownloadDeps,
  source: BlobReader,
  options: { readonly blobs: readonly Descriptor[]; readonly signal: AbortSignal },
): Promise<void> {
  const downloads = startDownloads(deps, source, options);
  try {
    for (const { digest } of options.blobs) await downloads.done(digest);
  } finally {
    await downloads.close();
  }
}

/** Blobs of the store, in the form of finished downloads. The caller closes it. */
export function blobsInStore(content: OperationDeps['content']): BlobDownloads {
  const fds: number[] = [];
  const opened = new Map<Digest, Promise<ReadableBlob>>();
  const open = async (digest: Digest): Promise<ReadableBlob> => {
    const fd = openSync(content.path(digest), 'r');
    fds.push(fd);
    return { fd, growing: GrowingFile.complete((await content.stat(digest))?.size ?? 0) };
  };
  return {
    readable: (digest) => {
      const blob = opened.get(digest) ?? open(digest);
      opened.set(digest, blob);
      return blob;
    },
    done: () => Promise.resolve('present'),
    close: () => {
      for (const fd of fds) closeSync(fd);
      return Promise.resolve();
    },
  };
}

/** Converts a blob of any source for `fetchBlob`. */
export function downloadOf(blob: ReopenableBlob): BlobSource {
  const { descriptor, download } = blob;
  if (download !== undefined) return download;
  return {
    descriptor,
    open: async ({ signal, offset = 0 }) => {
      const body = addAbortSignal(signal, await blob.open({ signal, offset }));
      return { body, restarted: false };
    },
  };
}

async function download(
  { content, progress }: DownloadDeps,
  blob: ReopenableBlob,
  signal: AbortSignal,
  onReadable: (path: string, growing: GrowingFile) => void,
): Promise<'fetched' | 'present'> {
  const { digest, size: total } = blob.descriptor;
  const event = (state: ProgressState, more: object = {}): void =>
    progress.event({ v: 1, kind: 'blob', action: 'fetch', digest, state, total, ...more });
  const ingest = await content.beginIngest(blob.descriptor, { signal, onWait: () => event('waiting') });
  if (ingest === undefined) {
    onReadable(content.path(digest), GrowingFile.complete(total));
    event('skipped');
    return 'present';
  }
  try {
    onReadable(ingest.path, ingest.growing);
    await fetchBlob(downloadOf(blob), ingest, {
      signal,
      onProgress: (transferred) => event('active', { transferred }),
      onRetry: (message) => event('retrying', { transferred: ingest.offset, message }),
    });
    event('done', { transferred: total });
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
