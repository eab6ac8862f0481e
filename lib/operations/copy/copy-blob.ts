import { ArchiveFormatError, NotFoundError } from '../../errors.js';
import type { ProgressSink, ProgressState } from '../../progress/index.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  isNonDistributable,
  type BlobReader,
  type Descriptor,
  type ImageDestination,
  type ImageSource,
  type ReopenableBlob,
} from '../../spec/index.js';
import { compareText } from '../../util/index.js';
import { reopenable, SharedRead } from '../registry/index.js';

/** The result for a blob at one destination, actual or planned. `skipped`: a non-distributable layer was left out. */
export type CopiedState = 'present' | 'mounted' | 'uploaded' | 'skipped';

/** The result for a blob at each destination; `Error`: copying failed. */
export type BlobOutcome = Map<ImageDestination, CopiedState | Error>;

export interface CopyBlobOptions {
  readonly source: ImageSource;
  readonly destinations: readonly ImageDestination[];
  readonly progress: ProgressSink;
  /** The action of progress events. Default: `upload`. */
  readonly action?: 'upload' | 'save' | undefined;
  readonly foreignBlob?: RegistryClient['foreignBlob'] | undefined;
  readonly signal: AbortSignal;
}

/**
 * Copies a blob to several destinations in the cheapest way: use an existing blob, mount it, or upload it; one read
 * feeds all uploads. A failing destination does not delay the others. Throws AbortError.
 */
export async function copyBlob(blob: Descriptor, options: CopyBlobOptions): Promise<BlobOutcome> {
  const { destinations, progress, action = 'upload', signal } = options;
  const event = (state: ProgressState, more: object = {}): void =>
    progress.event({ v: 1, kind: 'blob', action, digest: blob.digest, state, total: blob.size, ...more });
  const unlocks: (() => void)[] = [];
  try {
    // The fixed order prevents deadlocks between processes with the same destinations.
    const inOrder = [...destinations].sort((a, b) => compareText(a.name, b.name));
    for (const destination of inOrder) {
      const unlock = await destination.lockBlob?.(blob, { signal, onWait: () => event('waiting') });
      if (unlock !== undefined) unlocks.push(unlock);
    }
    return await new BlobCopy(blob, options, event).run();
  } finally {
    for (const unlock of unlocks) unlock();
  }
}

class BlobCopy {
  readonly #blob: Descriptor;
  readonly #options: CopyBlobOptions;
  readonly #event: (state: ProgressState, more?: object) => void;
  readonly #outcome: BlobOutcome = new Map();

  constructor(blob: Descriptor, options: CopyBlobOptions, event: (state: ProgressState, more?: object) => void) {
    this.#blob = blob;
    this.#options = options;
    this.#event = event;
  }

  async run(): Promise<BlobOutcome> {
    await this.#attemptAll(this.#options.destinations, (destination) => this.#find(destination));
    // Uploads once per host; its other repositories mount the blob from there.
    const leaders = new Map(this.#undecided().map((destination) => [hostOf(destination), destination]));
    await this.#upload([...leaders.values()]);
    await this.#attemptAll(this.#undecided(), (destination) => this.#mount(destination));
    for (const destination of this.#undecided()) await this.#upload([destination]);
    this.#report();
    return this.#outcome;
  }

  async #find(destination: ImageDestination): Promise<CopiedState | undefined> {
    if (await destination.hasBlob(this.#blob, this.#options)) return 'present';
    if (isNonDistributable(this.#blob) && destination.leavesForeign === true) return 'skipped';
    return this.#mount(destination);
  }

  async #mount(destination: ImageDestination): Promise<CopiedState | undefined> {
    const { source } = this.#options;
    return (await destination.mountBlob?.(this.#blob, source, this.#options)) === true ? 'mounted' : undefined;
  }

  async #upload(destinations: readonly ImageDestination[]): Promise<void> {
    const { source, foreignBlob, signal } = this.#options;
    const blob = withForeignBlobs(source, foreignBlob).blob(this.#blob);
    const onProgress = (transferred: number): void => this.#event('active', { transferred });
    const onRetry = (message: string): void => this.#event('retrying', { message });
    const [first, ...others] = destinations;
    if (first === undefined) return;
    const isDeferred = first.sendsAtCommit === true;
    if (!isDeferred) this.#event('active', { transferred: 0 });
    if (others.length === 0 && (isDeferred || blob.isVerified === true)) {
      return this.#attemptAll([first], async () => {
        await first.putBlob(blob, { signal, onProgress, onRetry });
        return 'uploaded';
      });
    }
    const readers = new SharedRead(blob, { readers: destinations.length, signal, onProgress, onRetry }).readers();
    await this.#attemptAll(destinations, async (destination) => {
      const reader = readers.pop()!;
      try {
        await destination.putBlob(reader.blob, { signal, onRetry });
        return 'uploaded';
      } finally {
        reader.leave();
      }
    });
  }

  /**
   * Runs `work` on all destinations and waits for all of them, even after an abort. Undefined leaves a destination
   * undecided.
   */
  async #attemptAll(
    destinations: readonly ImageDestination[],
    work: (destination: ImageDestination) => Promise<CopiedState | undefined>,
  ): Promise<void> {
    const results = await Promise.allSettled(
      destinations.map(async (destination) => {
        try {
          const state = await work(destination);
          if (state !== undefined) this.#outcome.set(destination, state);
        } catch (error) {
          this.#options.signal.throwIfAborted();
          this.#outcome.set(destination, error as Error);
        }
      }),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason as Error;
  }

  #undecided(): ImageDestination[] {
    return this.#options.destinations.filter((destination) => !this.#outcome.has(destination));
  }

  #report(): void {
    const states = [...this.#outcome.values()];
    if (states.includes('skipped')) this.#options.progress.note(foreignLayerNote(this.#blob));
    const isSent = [...this.#outcome].some(([to, state]) => state === 'uploaded' && to.sendsAtCommit !== true);
    if (isSent) return this.#event('done', { transferred: this.#blob.size });
    if (states.some((state) => state instanceof Error || state === 'skipped' || state === 'uploaded')) return;
    this.#event(states.includes('mounted') ? 'mounted' : 'skipped');
  }
}

/** The blobs of a source. Non-distributable layers that it lacks are read from the URLs in their descriptor. */
export function withForeignBlobs(
  source: ImageSource,
  foreignBlob: RegistryClient['foreignBlob'] | undefined,
): BlobReader {
  // A registry source uses the URLs itself.
  if (foreignBlob === undefined || source.repository !== undefined) return source;
  return { blob: (descriptor, options) => fromEither(source.blob(descriptor, options), foreignBlob) };
}

function fromEither(own: ReopenableBlob, foreignBlob: RegistryClient['foreignBlob']): ReopenableBlob {
  const { descriptor } = own;
  if (!isNonDistributable(descriptor)) return own;
  const foreign = reopenable(foreignBlob(descriptor));
  let isThere = true;
  return {
    descriptor,
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

/** The unit that shares blobs: a registry host, or the destination itself if it is not a registry. */
function hostOf(destination: ImageDestination): unknown {
  return destination.repository?.host ?? destination;
}

/** The note that a non-distributable layer is not uploaded, with the host that has it. */
function foreignLayerNote({ digest, urls = [] }: Descriptor): string {
  const hosts = urls.filter((url) => URL.canParse(url)).map((url) => new URL(url).host);
  return `layer ${digest} is non-distributable (foreign) and not uploaded; it is at ${(hosts[0] ?? 'no URL').slice(0, 300)}`;
}
