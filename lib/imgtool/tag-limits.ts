import { UsageError } from '../errors.js';
import type { SyncRule, TagJob } from '../operations/index.js';
import type { QueueItem, Rate } from '../queue/index.js';

/**
 * Rate limits for starting tags, by registry. A queue has one limit. A tag goes into the queue of its source, unless
 * one of its targets has its own limit.
 */
export class TagLimits {
  /** By host; undefined removes the limit. */
  readonly rates: ReadonlyMap<string, Rate | undefined>;
  readonly #targets: ReadonlySet<string>;

  private constructor(rates: ReadonlyMap<string, Rate | undefined>, targets: ReadonlySet<string>) {
    this.rates = rates;
    this.#targets = targets;
  }

  /** Parses `--rate`: `5/s` for each source, `HOST=5/s` for one registry. Throws UsageError. */
  static async read(
    given: readonly string[],
    rules: readonly SyncRule[],
    parseRate: (text: string) => Promise<Rate | undefined>,
  ): Promise<TagLimits> {
    const rates = new Map<string, Rate | undefined>();
    const sources = new Set(rules.map(({ host }) => host));
    const targets = new Set(rules.flatMap((rule) => rule.targets.map(({ host }) => host)));
    // A limit for one host overrides the limit for all.
    for (const text of [...given].sort((a, b) => Number(a.includes('=')) - Number(b.includes('=')))) {
      const at = text.lastIndexOf('=');
      const rate = await parseRate(text.slice(at + 1));
      const host = text.slice(0, Math.max(0, at));
      if (at >= 0 && !sources.has(host) && !targets.has(host)) {
        throw new UsageError(
          `--rate is for ${JSON.stringify(host.slice(0, 200))}, which is neither a source nor a target`,
          {
            hint: `those are ${[...sources, ...targets].join(', ')}`,
          },
        );
      }
      for (const name of at < 0 ? sources : [host]) rates.set(name, rate);
    }
    const limited = new Set([...targets].filter((host) => !sources.has(host) && rates.get(host) !== undefined));
    for (const rule of rules) {
      const own = new Set(rule.targets.map(({ host }) => host).filter((host) => limited.has(host)));
      if (rates.get(rule.host) !== undefined) own.add(rule.host);
      if (own.size > 1) {
        throw new UsageError(`a tag can wait for one limit, not for those of ${[...own].join(' and ')}`, {
          hint: 'keep the lower one, or sync each target separately',
        });
      }
    }
    return new TagLimits(rates, limited);
  }

  /** The queue for a job. */
  laneOf({ lane, payload }: QueueItem): string {
    return (payload as TagJob).targets.find(({ host }) => this.#targets.has(host))?.host ?? lane;
  }
}
