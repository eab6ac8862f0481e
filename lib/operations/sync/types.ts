import type { ProgressSink } from '../../progress/index.js';
import type { JobQueue } from '../../queue/index.js';
import type { RegistryClient } from '../../registry/index.js';
import type { Digest, RawManifest } from '../../spec/index.js';
import type { ConvertDeps } from '../convert/index.js';
import type { CopyLimits } from '../copy/index.js';
import type { BlobPlaces } from '../download/index.js';
import type { ClientForAccess } from '../registry/index.js';
import type { SyncRule } from '../sync-rules/index.js';

/** Stores facts that follow from digests alone across runs, never results of HEAD requests. */
export interface SyncMemory {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** A tag to be removed, with everything needed to restore it. */
export interface DeletedTag {
  /** `host/repository`. */
  readonly target: string;
  readonly tag: string;
  readonly manifest: RawManifest;
}

export interface SyncDeps {
  readonly registry: RegistryClient;
  /** Creates clients for rules with their own settings. */
  readonly registryFor: ClientForAccess;
  readonly progress: ProgressSink;
  readonly memory: SyncMemory;
  /** Required for mirrors with conversions or over protocol v1. */
  readonly convert?: Pick<ConvertDeps, 'recompressLayer' | 'temporaryDirectory'>;
  /** The number of concurrent blobs, and of concurrent tags. */
  readonly parallel: number;
  /** Called before a tag is removed. Must have recorded it when it resolves. */
  readonly recordDeletion: (deleted: DeletedTag) => Promise<void>;
  /** Runs a hook. Rejects when it fails. */
  readonly runHook: (argv: readonly [string, ...string[]], signal: AbortSignal) => Promise<unknown>;
  /** Called for each tag at each target, including up-to-date ones. `error`: the reason for its failure. */
  readonly onTag?: (tag: SyncedTag, error?: unknown) => void;
  /** The queue for workers (`TagMirror`). Undefined: tags are copied by this process. */
  readonly queue?: TagQueue;
  /** State shared by consecutive runs; undefined: none. */
  readonly shared?: { readonly limits: CopyLimits; readonly known: BlobPlaces };
}

/** A queue with one job per tag. */
export type TagQueue = Pick<JobQueue, 'put' | 'settled'>;

export interface SyncRequest {
  readonly rules: readonly SyncRule[];
  /** Only plan; change nothing. */
  readonly dryRun: boolean;
  /** Continue with the other tags after a failure. */
  readonly keepGoing: boolean;
  readonly signal: AbortSignal;
}

/**
 * The result for a tag at a target. `planned-…`: what a run would do. `vanished`: the source listed the tag but no
 * longer had it when it was read, so the target keeps its own.
 */
export type SyncState = 'up-to-date' | 'copied' | 'deleted' | 'failed' | 'vanished' | 'planned-copy' | 'planned-delete';

/** One tag at one target. */
export interface SyncedTag {
  /** `host/repository`. */
  readonly source: string;
  readonly target: string;
  /** `*` for the whole repository. */
  readonly tag: string;
  readonly state: SyncState;
  readonly digest?: Digest;
  readonly error?: string;
}

/** The totals of one target host. */
export interface TargetTotals {
  readonly target: string;
  /** Bytes of blobs sent. */
  bytes: number;
  uploaded: number;
  mounted: number;
  present: number;
  /** The sum of the durations of copies, which may overlap. A copy to several targets counts for each. */
  seconds: number;
  copied: number;
  upToDate: number;
  deleted: number;
  failed: number;
  vanished: number;
}

/** The report on a run, or with `dryRun` on what it would do. `tags`: those that are not up to date. */
export interface SyncReport {
  readonly dryRun: boolean;
  readonly repositories: number;
  readonly copied: number;
  readonly upToDate: number;
  readonly deleted: number;
  readonly failed: number;
  readonly vanished: number;
  readonly tags: readonly SyncedTag[];
  readonly targets: readonly TargetTotals[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
  /** For a plan: the requests that copying would take. */
  readonly plannedRequests?: number;
}
