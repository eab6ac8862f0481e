import { ArchiveFormatError, NotFoundError } from '../../errors.js';
import type { ProgressSink, ProgressState } from '../../progress/index.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  isKeptElsewhere,
  type Descriptor,
  type ImageDestination,
  type ImageSource,
  type ReopenableBlob,
} from '../../spec/index.js';
import { reopenable, SharedRead, type SharedReader } from '../registry/index.js';
import { foreignLayerNote } from './foreign-layer-note.js';
import { RegistryDestination } from './registry-transport.js';

/** What became of a blob at one destination. */
export type CopiedState = 'present' | 'mounted' | 'uploaded' | 'skipped';

/** Told of what became of the blob at each destination; `Error`: it could not be brought there. */
export type BlobOutcome = Map<ImageDestination, CopiedState | Error>;

/**
 * Brings a blob to several destinations with the least that does it: it is there, it is mounted, it is uploaded, all
 * uploads fed by one read. A destination that fails does not hold up the others. Throws AbortError.
 */
export async function copyBlob(
  blob: Descriptor,
  options: {
    readonly source: ImageSource;
    readonly destinations: readonly ImageDestination[];
    readonly progress: ProgressSink;
    readonly foreignBlob?: RegistryClient['foreignBlob'] | undefined;
    readonly signal: AbortSignal;
  },
): Promise<BlobOutcome> {
  const { source, destinations, progress, signal } = options;
  const outcome: BlobOutcome = new Map();
  const attempt = async (
    destination: ImageDestination,
    work: () => Promise<CopiedState | undefined>,
  ): Promise<void> => {
    try {
      const state = await work();
      if (state !== undefined) outcome.set(destination, state);
    } catch (error) {
      signal.throwIfAborted();
      outcome.set(destination, error as Error);
    }
  };
  const event = (state: ProgressState, more: object = {}): void =>
    progress.event({ v: 1, kind: 'blob', action: 'upload', digest: blob.digest, state, total: blob.size, ...more });
  const undecided = (): ImageDestination[] => destinations.filter((destination) => !outcome.has(destination));
  await settleAll(destinations, (destination) =>
    attempt(destination, async () => {
      if (await destination.hasBlob(blob, { signal })) return 'present';
      if (isKeptElsewhere(blob) && destination.leavesForeign === true) return 'skipped';
      return (await destination.mountBlob(blob, source, { signal })) ? 'mounted' : undefined;
    }),
  );
  // One upload a host: its other repositories take the blob over from there.
  const leaders = [...new Map(undecided().map((destination) => [hostOf(destination), destination])).values()];
  const upload = async (to: readonly ImageDestination[]): Promise<void> => {
    if (to.length === 0) return;
    event('active', { transferred: 0 });
    const read = new SharedRead(blobOf(blob, options), {
      readers: to.length,
      signal,
      onProgress: (transferred) => event('active', { transferred }),
      onRetry: (message) => event('retrying', { message }),
    });
    const readers = read.readers();
    await settleAll(to, (destination) => {
      const reader = readers.pop()!;
      return attempt(destination, () => put(destination, reader, signal, (message) => event('retrying', { message })));
    });
  };
  await upload(leaders);
  await settleAll(undecided(), (destination) =>
    attempt(destination, async () => ((await destination.mountBlob(blob, source, { signal })) ? 'mounted' : undefined)),
  );
  for (const destination of undecided()) await upload([destination]);
  const states = [...outcome.values()];
  if (states.includes('skipped')) progress.note(foreignLayerNote(blob));
  if (states.includes('uploaded')) event('done', { transferred: blob.size });
  else if (!states.some((state) => state instanceof Error || state === 'skipped'))
    event(states.includes('mounted') ? 'mounted' : 'skipped');
  return outcome;
}

async function put(
  destination: ImageDestination,
  reader: SharedReader,
  signal: AbortSignal,
  onRetry: (message: string) => void,
): Promise<CopiedState> {
  try {
    await destination.putBlob(reader.blob, { signal, onRetry });
    return 'uploaded';
  } finally {
    reader.leave();
  }
}

/** The blob in the source; a foreign one that is not there, where its manifest says. */
function blobOf(
  blob: Descriptor,
  {
    source,
    foreignBlob,
  }: { readonly source: ImageSource; readonly foreignBlob?: RegistryClient['foreignBlob'] | undefined },
): ReopenableBlob {
  const own = source.blob(blob);
  // A registry looks there by itself.
  if (!isKeptElsewhere(blob) || foreignBlob === undefined || source.repository !== undefined) return own;
  const foreign = reopenable(foreignBlob(blob));
  let isThere = true;
  return {
    descriptor: blob,
    open: async (options) => {
      if (!isThere) return foreign.open(options);
      try {
        return await own.open(options);
      } catch (error) {
        if (!(error instanceof NotFoundError || error instanceof ArchiveFormatError)) throw error;
        isThere = false;
        return foreign.open(options);
      }
    },
  };
}

/** What shares its blobs; a destination that is no registry stands for itself. */
function hostOf(destination: ImageDestination): unknown {
  return destination instanceof RegistryDestination ? destination.writer.host : destination;
}

/** As `Promise.all`, but waits for all of them even when one rejects. */
async function settleAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(work));
  for (const result of results) if (result.status === 'rejected') throw result.reason as Error;
}
