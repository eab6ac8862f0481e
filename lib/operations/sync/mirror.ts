import type { Digest, RepositoryName } from '../../spec/index.js';
import type { RegistryDestination } from '../copy/index.js';
import { placeOf, type SyncRule } from '../sync-rules/index.js';
import type { SyncRun } from './sync-run.js';
import type { SyncSource } from './sync-source.js';

/** The state that the tags of a mirrored repository share. */
export class Mirror {
  readonly run: SyncRun;
  readonly rule: SyncRule;
  readonly source: SyncSource;
  readonly place: RepositoryName;
  /** All tags of the source; undefined if they have not been listed. */
  listed: ReadonlySet<string> | undefined;
  /** Known digests of tags at each target. */
  readonly #there = new Map<RegistryDestination, Map<string, Digest>>();

  constructor(run: SyncRun, rule: SyncRule, { source, place }: Pick<Mirror, 'source' | 'place'>) {
    this.run = run;
    this.rule = rule;
    this.source = source;
    this.place = place;
  }

  /** The source, `host/repository`. */
  get name(): string {
    return nameOf(this.place);
  }

  /** The known digests of tags at a target. */
  digestsAt(destination: RegistryDestination): Map<string, Digest> {
    const digests = this.#there.get(destination) ?? new Map<string, Digest>();
    this.#there.set(destination, digests);
    return digests;
  }

  /** Records a failure, and throws it if the run must stop. `tag`: `*` for all. Throws AbortError. */
  fail(destination: RegistryDestination, tag: string, error: unknown): void {
    this.run.signal.throwIfAborted();
    this.run.fail({ source: this.name, target: nameOf(destination.writer), tag }, error);
  }

  /** Reports a tag that the source has listed but no longer has. */
  vanished(tag: string): void {
    for (const target of this.rule.targets)
      this.run.results.add({
        ...{ source: this.name, target: nameOf(placeOf(target, this.place)), tag, state: 'vanished' },
      });
  }
}

/** `host/repository`. */
export function nameOf({ host, repository }: RepositoryName): string {
  return `${host}/${repository}`;
}
