import type { CopyLimits } from '../copy/index.js';
import type { BlobPlaces } from '../download/index.js';
import type { SyncResults } from './sync-results.js';
import type { SyncDeps, SyncRequest } from './types.js';

/** The state that the mirrors of one run share. */
export interface SyncRun {
  readonly deps: SyncDeps;
  readonly request: Pick<SyncRequest, 'dryRun' | 'keepGoing'>;
  readonly signal: AbortSignal;
  readonly limits: CopyLimits;
  readonly known: BlobPlaces;
  readonly results: SyncResults;
  /** The source of each target repository, because two sources must not have the same target. */
  readonly taken: Map<string, string>;
  /** Work to do after the workers have finished. */
  readonly later: (() => Promise<void>)[];
  /** Runs `work` on all items with limited concurrency, and stops after a failure that ends the run. */
  readonly forEach: <T>(items: readonly T[], work: (item: T) => Promise<void>) => Promise<void>;
  /** Like `forEach`, but a failure does not end the run. */
  readonly askEach: <T>(items: readonly T[], work: (item: T) => Promise<void>) => Promise<void>;
  /** Records a failure, and throws it if the run must stop. */
  readonly fail: (
    place: { readonly source: string; readonly target: string; readonly tag: string },
    error: unknown,
  ) => void;
}
