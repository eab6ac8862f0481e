import type { CopyLimits } from '../copy/index.js';
import type { BlobPlaces } from '../download/index.js';
import type { SyncResults } from './sync-results.js';
import type { SyncDeps, SyncRequest } from './types.js';

/** What the mirrors of one run share. */
export interface SyncRun {
  readonly deps: SyncDeps;
  readonly request: Pick<SyncRequest, 'dryRun' | 'keepGoing'>;
  readonly signal: AbortSignal;
  readonly limits: CopyLimits;
  readonly known: BlobPlaces;
  readonly results: SyncResults;
  /** Source of each target repository: two must not fill the same. */
  readonly taken: Map<string, string>;
  /** What is to be done when all that was left to workers has ended. */
  readonly later: (() => Promise<void>)[];
  /** Runs work on all items, as many at a time as is right; after a failure that is not to be survived, no more. */
  readonly forEach: <T>(items: readonly T[], work: (item: T) => Promise<void>) => Promise<void>;
  /** As `forEach`, but a failure is the caller's to survive. */
  readonly askEach: <T>(items: readonly T[], work: (item: T) => Promise<void>) => Promise<void>;
  /** Notes a failure; throws it when the run is not to go on. */
  readonly fail: (
    place: { readonly source: string; readonly target: string; readonly tag: string },
    error: unknown,
  ) => void;
}
