import {
  AuthenticationError,
  DigestMismatchError,
  RegistryError,
  SizeMismatchError,
  TransportError,
} from '../../errors.js';
import type { JobTry } from '../../queue/index.js';
import { parsePlatform } from '../../spec/index.js';
import { CopyLimits } from '../copy/index.js';
import { BlobPlaces } from '../download/index.js';
import { ALL_TAGS } from '../sync-rules/index.js';
import { sync } from './sync.js';
import { parseTagJob, parseTagResult, type TagJob, type TagResult } from './tag-job.js';
import type { SyncDeps, SyncedTag } from './types.js';

/** How long known blobs of registries are trusted. Milliseconds. */
const BELIEVE_MS = 600_000;

/** Executes the jobs of a queue, each for one tag, like `sync`, with the logins of this machine. */
export class TagMirror {
  readonly #deps: Pick<SyncDeps, 'registry' | 'progress' | 'memory' | 'parallel'>;
  readonly #onTag: (tag: SyncedTag) => void;
  readonly #limits: CopyLimits;
  #known = new BlobPlaces();
  #knownSince = performance.now();
  #requestsTold: number;

  /** `onTag`: called after each attempt for each tag that was not up to date. */
  constructor(deps: Pick<SyncDeps, 'registry' | 'progress' | 'memory' | 'parallel'>, onTag: (tag: SyncedTag) => void) {
    this.#deps = deps;
    this.#onTag = onTag;
    this.#limits = new CopyLimits(deps.parallel);
    this.#requestsTold = deps.registry.statistics.requests;
  }

  /** Makes one attempt. Throws UsageError for an invalid job, AbortError. */
  async work(
    payload: unknown,
    { previous, signal }: { readonly previous: unknown; readonly signal: AbortSignal },
  ): Promise<JobTry & { readonly result: TagResult }> {
    const job = parseTagJob(payload);
    const outcomes: SyncedTag[] = [];
    const errors: unknown[] = [];
    const report = await sync(
      {
        ...this.#deps,
        shared: { limits: this.#limits, known: this.#knownPlaces() },
        // Jobs contain no settings for registries.
        registryFor: () => Promise.resolve(this.#deps.registry),
        recordDeletion: () => Promise.resolve(),
        runHook: () => Promise.resolve(),
        onTag: (tag, error) => {
          // A failure of the whole repository is reported for the tag.
          outcomes.push({ ...tag, tag: job.tag });
          if (error !== undefined) errors.push(error);
        },
      },
      { rules: [ruleOf(job)], dryRun: false, keepGoing: true, signal },
    );
    signal.throwIfAborted();
    for (const outcome of outcomes) if (outcome.state !== 'up-to-date') this.#onTag(outcome);
    const result = joined(parseTagResult(previous, job), {
      outcomes,
      blobs: report.targets,
      requests: this.#newRequests(),
    });
    if (errors.length === 0) return { result };
    // The registry may have lost blobs that it had.
    this.#known = new BlobPlaces();
    const failed = outcomes.filter(({ state }) => state === 'failed');
    const reason = failed.map(({ target, error }) => `${target}: ${error}`).join('; ');
    return { result, failure: { reason, retry: errors.some(mayPass) } };
  }

  #knownPlaces(): BlobPlaces {
    if (performance.now() - this.#knownSince > BELIEVE_MS) {
      this.#known = new BlobPlaces();
      this.#knownSince = performance.now();
    }
    return this.#known;
  }

  /** Returns the requests since the last call, so that the sum is right for concurrent jobs. */
  #newRequests(): number {
    const { requests } = this.#deps.registry.statistics;
    const added = requests - this.#requestsTold;
    this.#requestsTold = requests;
    return added;
  }
}

function ruleOf({
  source,
  tag,
  targets,
  platforms,
  referrers,
  listed,
}: TagJob): Parameters<typeof sync>[1]['rules'][0] {
  return {
    host: source.host,
    repositories: [source.repository],
    targets: targets.map((place) => ({ ...place, prefix: '', keep: 'path' })),
    tags: { ...ALL_TAGS, exact: [tag], mayBeGone: listed },
    platforms: platforms.map(parsePlatform),
    referrers,
    deleteExtra: undefined,
    hook: [],
  };
}

/** True when a later attempt may succeed. */
function mayPass(error: unknown): boolean {
  if (error instanceof RegistryError) return ![401, 403, 405].includes(error.status);
  if (error instanceof AuthenticationError) return false;
  return error instanceof TransportError || error instanceof DigestMismatchError || error instanceof SizeMismatchError;
}

/** Reports a target as copied if an earlier attempt has copied the tag to it. */
function joined(before: TagResult | undefined, now: TagResult): TagResult {
  if (before === undefined) return now;
  const copied = new Map(
    before.outcomes.filter(({ state }) => state === 'copied').map((entry) => [entry.target, entry]),
  );
  const merge = (entry: SyncedTag): SyncedTag =>
    entry.state === 'up-to-date' && copied.get(entry.target)?.digest === entry.digest
      ? { ...entry, state: 'copied' }
      : entry;
  return {
    outcomes: now.outcomes.map(merge),
    blobs: [...before.blobs, ...now.blobs],
    requests: before.requests + now.requests,
  };
}
