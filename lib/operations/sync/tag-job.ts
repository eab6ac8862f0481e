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

/** One tag to bring to all its targets, as it lies in a queue: names and options, never a login or a program. */
export interface TagJob {
  readonly v: 1;
  readonly source: Place;
  readonly tag: string;
  readonly targets: readonly Place[];
  /** Of an index only these; none: all. */
  readonly platforms: readonly string[];
  readonly referrers: boolean;
  /** Was in the list of tags: when it is gone by now, that is no failure. */
  readonly listed: boolean;
}

/** What a job has come to, over all its tries. */
export interface TagResult {
  readonly outcomes: readonly SyncedTag[];
  /** Blobs by target host; the counts of tags mean nothing here. */
  readonly blobs: readonly TargetTotals[];
  /** Requests to registries. */
  readonly requests: number;
}

/** The job of one tag of a repository. Throws InvalidReferenceError. */
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

/** Equal jobs have equal names, on every machine. */
export function tagJobId(job: TagJob): string {
  return `t-${createHash('sha256').update(JSON.stringify(job)).digest('hex').slice(0, 40)}`;
}

/** Reads a job that came out of a queue. Throws UsageError, InvalidReferenceError. */
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
 * Reads the result that a worker left for a job; undefined when it is not one of that very job: its source, its tag, its
 * targets, each at most once. Anyone who can write to the queue can have made it: its digests are only claims.
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
