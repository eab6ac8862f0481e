import { ImgtoolError } from '../../errors.js';
import type { CopiedTarget } from '../copy/index.js';
import type { SyncDeps, SyncedTag, SyncReport, TargetTotals } from './types.js';

/** The most tags to list in a report; further ones are only counted. */
const MAX_LISTED = 100_000;

/** Collects the results of all tags. */
export class SyncResults {
  readonly #tags: SyncedTag[] = [];
  readonly #totals = new Map<string, TargetTotals>();
  repositories = 0;
  plannedBytes = 0;
  plannedRequests = 0;
  /** Requests of workers, in addition to those of this process. */
  requests = 0;
  readonly #onTag: SyncDeps['onTag'];
  firstError: Error | undefined;

  constructor(onTag?: SyncDeps['onTag']) {
    this.#onTag = onTag;
  }

  /** Adds the result for one tag at one target. */
  add(tag: SyncedTag, error?: unknown): void {
    this.#onTag?.(tag, error);
    const totals = this.#totalsOf(tag.target);
    if (tag.state === 'up-to-date') {
      totals.upToDate++;
      return;
    }
    if (tag.state === 'copied' || tag.state === 'planned-copy') totals.copied++;
    else if (tag.state === 'failed') totals.failed++;
    else if (tag.state === 'vanished') totals.vanished++;
    else totals.deleted++;
    if (this.#tags.length < MAX_LISTED) this.#tags.push(tag);
  }

  /** Adds the blobs of one copy and its duration. */
  addCopy(target: string, { blobs }: CopiedTarget, seconds: number): void {
    const totals = this.#totalsOf(target);
    totals.seconds += seconds;
    for (const { size, state } of blobs) {
      if (state === 'uploaded') {
        totals.uploaded++;
        totals.bytes += size;
      } else if (state === 'mounted') totals.mounted++;
      else totals.present++;
    }
  }

  /** Adds blobs copied by workers. */
  addTotals({ target, bytes, uploaded, mounted, present, seconds }: TargetTotals): void {
    const totals = this.#totalsOf(`${target}/`);
    totals.bytes += bytes;
    totals.uploaded += uploaded;
    totals.mounted += mounted;
    totals.present += present;
    totals.seconds += seconds;
  }

  /** Adds a failure. Throws errors that are not ImgtoolErrors, because they are bugs. */
  fail(place: { readonly source: string; readonly target: string; readonly tag: string }, error: unknown): void {
    if (!(error instanceof ImgtoolError)) throw error;
    this.firstError ??= error;
    this.add({ ...place, state: 'failed', error: error.message }, error);
  }

  /** The report on everything so far. */
  report(facts: { readonly dryRun: boolean; readonly requests: number; readonly seconds: number }): SyncReport {
    const targets = [...this.#totals.values()];
    const sum = (key: Exclude<keyof TargetTotals, 'target'>): number =>
      targets.reduce((total, totals) => total + totals[key], 0);
    return {
      ...facts,
      requests: facts.requests + this.requests,
      repositories: this.repositories,
      copied: sum('copied'),
      upToDate: sum('upToDate'),
      deleted: sum('deleted'),
      failed: sum('failed'),
      vanished: sum('vanished'),
      tags: [...this.#tags].sort((a, b) => order(a) - order(b) || compare(a, b)),
      targets,
      bytes: facts.dryRun ? this.plannedBytes : sum('bytes'),
      ...(facts.dryRun ? { plannedRequests: this.plannedRequests } : {}),
    };
  }

  #totalsOf(target: string): TargetTotals {
    const host = target.slice(0, target.indexOf('/'));
    let totals = this.#totals.get(host);
    if (totals === undefined) {
      totals = {
        ...{ target: host, bytes: 0, uploaded: 0, mounted: 0, present: 0, seconds: 0 },
        ...{ copied: 0, upToDate: 0, deleted: 0, failed: 0, vanished: 0 },
      };
      this.#totals.set(host, totals);
    }
    return totals;
  }
}

/** Lists failures last, where users see them. */
function order({ state }: SyncedTag): number {
  return state === 'failed' ? 1 : 0;
}

function compare(a: SyncedTag, b: SyncedTag): number {
  const [left, right] = [`${a.target} ${a.tag}`, `${b.target} ${b.tag}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
