import { createHash } from 'node:crypto';
import { UsageError } from '../../errors.js';
import { formatPlatform, isDigest, isRepositoryName, parsePlatform, parseReference } from '../../spec/index.js';
import { placeOf, type SyncRule } from '../sync-rules/index.js';
import type { SyncedTag, SyncState, TargetTotals } from './types.js';

/** A repository of a registry. */
interface Place {
  readonly host: string;
  readonly repository: string;
}

/**
 * A tag to copy to all its targets, as stored in a queue. Contains names and options, but no logins and no programs.
 */
export interface TagJob {
  readonly v: 1;
  readonly source: Place;
  readonly tag: string;
  readonly targets: readonly Place[];
  /** The platforms to copy from an index; empty: all. */
  readonly platforms: readonly string[];
  readonly referrers: boolean;
  /** The tag was listed, so it is not a failure if it no longer exists. */
  readonly listed: boolean;
}

/** The result of a job over all attempts. */
export interface TagResult {
  readonly outcomes: readonly SyncedTag[];
  /** Totals of blobs by target host; their counts of tags are unused. */
  readonly blobs: readonly TargetTotals[];
  /** Requests to registries. */
  readonly requests: number;
}

/** Creates the job for a tag of a repository. Throws InvalidReferenceError. */
export function tagJob(rule: SyncRule, repository: string, tag: string): TagJob {
  const source = { host: rule.host, repository };
  return {
    v: 1,
    source,
    tag,
    targets: rule.targets.map((target) => placeOf(target, source)),
    platforms: rule.platforms.map(formatPlatform),
    referrers: rule.referrers,
    listed: rule.tags.exact === undefined,
  };
}

/** An ID that is equal for equal jobs of any process. */
export function tagJobId(job: TagJob): string {
  return `t-${createHash('sha256').update(JSON.stringify(job)).digest('hex').slice(0, 40)}`;
}

/** Parses a job from a queue. Throws UsageError, InvalidReferenceError. */
export function parseTagJob(payload: unknown): TagJob {
  const job = payload as Partial<TagJob> | null;
  const { source, targets, tag, platforms } = job ?? {};
  const good =
    job?.v === 1 &&
    typeof tag === 'string' &&
    isPlace(source) &&
    parseReference(`${source.host}/${source.repository}:${tag}`).tag === tag &&
    isListOf(targets, isPlace) &&
    targets.length > 0 &&
    isListOf(platforms, (entry) => typeof entry === 'string');
  if (!good) {
    throw new UsageError('the queue holds a job that is not one of sync, or of another version', {
      hint: 'use the same version of imgtool everywhere, and a database of Redis for it alone',
    });
  }
  platforms.forEach(parsePlatform);
  return { v: 1, source, tag, targets, platforms, referrers: job.referrers === true, listed: job.listed === true };
}

/**
 * Parses the result of a job; undefined unless it belongs to this job: its source, its tag, and each of its targets at
 * most once. Anyone with access to the queue can forge it, so its digests are only claims.
 */
export function parseTagResult(value: unknown, job: TagJob): TagResult | undefined {
  const { outcomes, blobs, requests } = (value ?? {}) as Partial<TagResult>;
  const targets = new Set(job.targets.map(nameOf));
  const hosts = new Set(job.targets.map(({ host }) => host));
  const isOwn = (outcome: unknown): outcome is SyncedTag =>
    isOutcome(outcome) &&
    outcome.source === nameOf(job.source) &&
    outcome.tag === job.tag &&
    targets.delete(outcome.target);
  const isOwnTotal = (totals: unknown): totals is TargetTotals => isTotals(totals) && hosts.has(totals.target);
  if (!isListOf(outcomes, isOwn) || !isListOf(blobs, isOwnTotal) || !isCount(requests)) return undefined;
  return { outcomes, blobs, requests };
}

function nameOf({ host, repository }: Place): string {
  return `${host}/${repository}`;
}

function isPlace(value: unknown): value is Place {
  const { host, repository } = (value ?? {}) as Partial<Place>;
  if (typeof host !== 'string' || typeof repository !== 'string' || !isRepositoryName(repository)) return false;
  return parseReference(`${host}/${repository}`).host === host;
}

const STATES: ReadonlySet<unknown> = new Set<SyncState>(['up-to-date', 'copied', 'failed', 'vanished']);

function isOutcome(value: unknown): value is SyncedTag {
  const { source, target, tag, state, digest, error } = (value ?? {}) as Partial<SyncedTag>;
  const texts = [source, target, tag, error ?? ''];
  return (
    texts.every((text) => typeof text === 'string') &&
    STATES.has(state) &&
    (digest === undefined || (typeof digest === 'string' && isDigest(digest)))
  );
}

function isTotals(value: unknown): value is TargetTotals {
  const { target, bytes, uploaded, mounted, present, seconds } = (value ?? {}) as Partial<TargetTotals>;
  return (
    typeof target === 'string' &&
    [bytes, uploaded, mounted, present].every(isCount) &&
    typeof seconds === 'number' &&
    seconds >= 0
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isListOf<T>(value: unknown, is: (entry: unknown) => entry is T): value is readonly T[];
function isListOf(value: unknown, is: (entry: unknown) => boolean): value is readonly string[];
function isListOf(value: unknown, is: (entry: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= 10_000 && value.every(is);
}
