import type { ProgressSink } from '../../progress/index.js';
import type { JobQueue } from '../../queue/index.js';
import type { RegistryClient } from '../../registry/index.js';
import type { Digest, RawManifest } from '../../spec/index.js';
import type { ConvertDeps } from '../convert/index.js';
import type { CopyLimits } from '../copy/index.js';
import type { BlobPlaces } from '../download/index.js';
import type { ClientForAccess } from '../registry/index.js';
import type { SyncRule } from '../sync-rules/index.js';

/** Facts that follow from digests alone, kept from run to run; what a HEAD can tell is never among them. */
export interface SyncMemory {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** A tag that is about to be removed: enough to put it back. */
export interface DeletedTag {
  /** `host/repository`. */
  readonly target: string;
  readonly tag: string;
  readonly manifest: RawManifest;
}

/** What `sync` works with. */
export interface SyncDeps {
  readonly registry: RegistryClient;
  /** For rules that say how a side is reached. */
  readonly registryFor: ClientForAccess;
  readonly progress: ProgressSink;
  readonly memory: SyncMemory;
  /** For mirrors that convert, and those of protocol v1; without, they fail. */
  readonly convert?: Pick<ConvertDeps, 'recompressLayer' | 'temporaryDirectory'>;
  /** Blobs, and tags, under way at the same time. */
  readonly parallel: number;
  /** Told before a tag is removed; must have kept it when it resolves. */
  readonly recordDeletion: (deleted: DeletedTag) => Promise<void>;
  /** Runs a hook; rejects when it fails. */
  readonly runHook: (argv: readonly [string, ...string[]], signal: AbortSignal) => Promise<unknown>;
  /** Told of each tag at each target, up to date ones too; `error`: why it failed. */
  readonly onTag?: (tag: SyncedTag, error?: unknown) => void;
  /** Where tags are left for workers (`TagMirror`) to copy; undefined: they are copied here. */
  readonly queue?: TagQueue;
  /** What runs that follow each other share; undefined: nothing. */
  readonly shared?: { readonly limits: CopyLimits; readonly known: BlobPlaces };
}

/** A queue of jobs, one a tag. */
export type TagQueue = Pick<JobQueue, 'put' | 'settled'>;

/** What to mirror and how. */
export interface SyncRequest {
  readonly rules: readonly SyncRule[];
  /** Plans only: nothing is changed anywhere. */
  readonly dryRun: boolean;
  /** Continue with the other tags after a failure. */
  readonly keepGoing: boolean;
  readonly signal: AbortSignal;
}

/**
 * What became of a tag at a target; `planned-…`: what a run would do; `vanished`: the source listed the tag and no longer
 * had it when it was asked for, so the target keeps what it has.
 */
export type SyncState = 'up-to-date' | 'copied' | 'deleted' | 'failed' | 'vanished' | 'planned-copy' | 'planned-delete';

/** One tag at one target. */
export interface SyncedTag {
  /** `host/repository`. */
  readonly source: string;
  readonly target: string;
  /** `*`: the repository as a whole. */
  readonly tag: string;
  readonly state: SyncState;
  readonly digest?: Digest;
  readonly error?: string;
}

/** Sums of one target host. */
export interface TargetTotals {
  readonly target: string;
  /** Bytes of blobs sent. */
  bytes: number;
  uploaded: number;
  mounted: number;
  present: number;
  /** How long copies to it took, added up: several run at a time. One to several targets counts at each. */
  seconds: number;
  copied: number;
  upToDate: number;
  deleted: number;
  failed: number;
  vanished: number;
}

/** Report of a run; with `dryRun` what a run would do, its bytes and requests. `tags`: what is not up to date. */
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
  /** Of a plan: requests that copying would take. */
  readonly plannedRequests?: number;
}
