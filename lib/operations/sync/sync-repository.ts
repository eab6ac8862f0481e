import { NotFoundError, UsageError } from '../../errors.js';
import { formatPlatform, referrersTag, type Descriptor, type Digest } from '../../spec/index.js';
import { copyImage } from '../copy/copy-image.js';
import type { CopyLimits } from '../copy/copy-tree.js';
import type { KnownBlobs } from '../copy/known-blobs.js';
import {
  openRegistryDestination,
  openRegistrySource,
  type RegistryDestination,
  type RegistrySource,
} from '../copy/registry-transport.js';
import { selectManifest, type Selection } from '../copy/select-manifest.js';
import { imageCreated } from './image-created.js';
import { estimateCopy } from './plan-tag.js';
import { deleteExtraTags } from './delete-extra-tags.js';
import { findTag } from './find-tag.js';
import { isAttachedTag, selectByName } from './select-tags.js';
import type { SyncResults } from './sync-results.js';
import { placeOf, type SyncRule } from './sync-rule.js';
import type { SyncDeps, SyncRequest } from './types.js';

/** What the mirrors of one run share. */
export interface SyncRun {
  readonly deps: SyncDeps;
  readonly request: Pick<SyncRequest, 'dryRun' | 'keepGoing'>;
  readonly signal: AbortSignal;
  readonly limits: CopyLimits;
  readonly known: KnownBlobs;
  readonly results: SyncResults;
  /** Source of each target repository: two must not fill the same. */
  readonly taken: Map<string, string>;
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

/** Brings one repository to all its targets. Throws what is not to be survived, AbortError. */
export async function syncRepository(run: SyncRun, rule: SyncRule, repository: string): Promise<void> {
  await new RepositorySync(run, rule, repository).run();
}

class RepositorySync {
  readonly #run: SyncRun;
  readonly #rule: SyncRule;
  readonly #repository: string;
  readonly #name: string;
  readonly #selection: Selection;
  #source!: RegistrySource;
  /** Undefined: not known whether there are others. */
  #listed: ReadonlySet<string> | undefined;
  /** What each target is known to have. */
  readonly #there = new Map<RegistryDestination, Map<string, Digest>>();

  constructor(run: SyncRun, rule: SyncRule, repository: string) {
    this.#run = run;
    this.#rule = rule;
    this.#repository = repository;
    this.#name = `${rule.host}/${repository}`;
    const { platforms } = rule;
    this.#selection = platforms.length === 0 ? { kind: 'all' } : { kind: 'platforms', platforms, lenient: true };
  }

  async run(): Promise<void> {
    const { deps, signal, results } = this.#run;
    const destinations: RegistryDestination[] = [];
    let selected: string[];
    try {
      this.#source = await openRegistrySource(
        deps.registry,
        { host: this.#rule.host, repository: this.#repository },
        { signal },
      );
      for (const target of this.#rule.targets) destinations.push(await this.#open(target));
      selected = await this.#select();
    } catch (error) {
      signal.throwIfAborted();
      for (const target of this.#rule.targets) this.#fail(nameOf(placeOf(target, this.#place())), '*', error);
      return;
    }
    results.repositories++;
    await this.#run.forEach(selected, (tag) => this.#syncTag(tag, destinations));
    const { deleteExtra } = this.#rule;
    if (deleteExtra === undefined || this.#rule.tags.exact !== undefined) return;
    for (const destination of destinations) {
      try {
        await deleteExtraTags(this.#run, destination, {
          ...deleteExtra,
          source: this.#name,
          selected: new Set(selected),
          digests: this.#digestsAt(destination),
        });
      } catch (error) {
        signal.throwIfAborted();
        this.#fail(nameOf(destination.writer), '*', error);
      }
    }
  }

  #digestsAt(destination: RegistryDestination): Map<string, Digest> {
    const digests = this.#there.get(destination) ?? new Map<string, Digest>();
    this.#there.set(destination, digests);
    return digests;
  }

  #place(): { host: string; repository: string } {
    return { host: this.#rule.host, repository: this.#repository };
  }

  #fail(target: string, tag: string, error: unknown): void {
    this.#run.fail({ source: this.#name, target, tag }, error);
  }

  async #open(target: SyncRule['targets'][number]): Promise<RegistryDestination> {
    const { deps, known, signal, taken } = this.#run;
    const place = placeOf(target, this.#place());
    const name = nameOf(place);
    if (name === this.#name) throw new UsageError(`${name} cannot be mirrored to itself`);
    const other = taken.get(name);
    if (other !== undefined && other !== this.#name) {
      throw new UsageError(`${other} and ${this.#name} would both go to ${name}`, {
        hint: 'give them targets of their own',
      });
    }
    taken.set(name, this.#name);
    const mountFrom = place.host === this.#rule.host ? [this.#repository] : [];
    return openRegistryDestination(deps.registry, place, { signal, known, mountFrom });
  }

  async #select(): Promise<string[]> {
    const { tags: rules } = this.#rule;
    const { signal } = this.#run;
    if (rules.exact !== undefined) return [...new Set(rules.exact)];
    const listed: string[] = [];
    for await (const tag of this.#source.tags({ signal })) listed.push(tag);
    this.#listed = new Set(listed);
    const own = listed.filter((tag) => !isAttachedTag(tag));
    const named = await selectByName(own, rules);
    const byCreation = rules.newest !== undefined && rules.newestBy === 'created';
    if (!byCreation && rules.sinceMs === undefined) return named;
    const dated: { tag: string; created: number }[] = [];
    await this.#run.askEach(named, async (tag) => {
      const created = await this.#created(tag);
      if (created !== undefined) dated.push({ tag, created });
    });
    const oldest = rules.sinceMs === undefined ? -Infinity : Date.now() - rules.sinceMs;
    const young = dated.filter(({ created }) => created >= oldest);
    young.sort((a, b) => b.created - a.created || (a.tag < b.tag ? -1 : 1));
    return (byCreation ? young.slice(0, rules.newest) : young).map(({ tag }) => tag);
  }

  async #created(tag: string): Promise<number | undefined> {
    const { memory } = this.#run.deps;
    const { signal } = this.#run;
    const found = await findTag(this.#source.reader, tag, signal);
    if (found === undefined) return undefined;
    const key = `created ${found.digest}`;
    const kept = Number(memory.get(key) ?? NaN);
    if (!Number.isNaN(kept)) return kept;
    const created = await imageCreated(this.#source, found.digest, signal);
    if (created !== undefined) memory.set(key, String(created));
    return created;
  }

  async #syncTag(tag: string, destinations: readonly RegistryDestination[]): Promise<void> {
    const { results, signal } = this.#run;
    const fail = (destination: RegistryDestination, error: unknown): void => {
      signal.throwIfAborted();
      this.#fail(nameOf(destination.writer), tag, error);
    };
    let found: Descriptor | undefined;
    let wanted: Digest;
    try {
      found = await findTag(this.#source.reader, tag, signal);
      if (found === undefined) {
        if (this.#rule.tags.exact === undefined) return;
        throw new NotFoundError(`${this.#name} has no tag ${tag}`, { kind: 'tag', subject: tag });
      }
      wanted = await this.#wanted(found);
    } catch (error) {
      for (const destination of destinations) fail(destination, error);
      return;
    }
    const stale: RegistryDestination[] = [];
    const same: RegistryDestination[] = [];
    await Promise.all(
      destinations.map(async (destination) => {
        try {
          const there = await findTag(destination.reader, tag, signal);
          (there?.digest === wanted ? same : stale).push(destination);
        } catch (error) {
          fail(destination, error);
        }
      }),
    );
    for (const destination of same) {
      this.#digestsAt(destination).set(tag, wanted);
      results.add({ source: this.#name, target: nameOf(destination.writer), tag, state: 'up-to-date', digest: wanted });
    }
    try {
      if (stale.length > 0) await this.#copy(tag, found, wanted, stale);
      if (same.length > 0 && (await this.#mayHaveReferrers(found.digest))) await this.#copyReferrers(found, same);
    } catch (error) {
      for (const destination of stale.length > 0 ? stale : same) fail(destination, error);
    }
  }

  async #copy(tag: string, found: Descriptor, wanted: Digest, stale: readonly RegistryDestination[]): Promise<void> {
    const { deps, limits, request, results, signal, known } = this.#run;
    const selector = { digest: found.digest };
    if (request.dryRun) {
      const raw = await this.#source.manifest(selector, { signal });
      const chosen = await selectManifest(this.#source, raw, {
        selection: this.#selection,
        preserveDigests: false,
        signal,
      });
      const { bytes, requests } = await estimateCopy(this.#source, chosen.raw, { destinations: stale, known, signal });
      results.plannedBytes += bytes;
      results.plannedRequests += requests;
      for (const { writer } of stale)
        results.add({ source: this.#name, target: nameOf(writer), tag, state: 'planned-copy', digest: wanted });
      return;
    }
    const copied = await copyImage(
      { progress: deps.progress, limits },
      {
        ...{ source: this.#source, selector, selection: this.#selection, preserveDigests: false },
        targets: stale.map((destination) => ({ destination, tags: [tag] })),
        ...{ referrers: this.#rule.referrers, quiet: true, signal },
      },
    );
    for (const [i, target] of copied.targets.entries()) {
      const name = nameOf(stale[i]!.writer);
      results.addBlobs(name, target);
      if (target.error !== undefined) {
        this.#fail(name, tag, target.error);
        continue;
      }
      this.#digestsAt(stale[i]!).set(tag, copied.digest);
      results.add({ source: this.#name, target: name, tag, state: 'copied', digest: copied.digest });
      await this.#hook(name, tag, copied.digest);
    }
  }

  async #hook(target: string, tag: string, digest: Digest): Promise<void> {
    const values: Readonly<Record<string, string>> = {
      source: `${this.#name}:${tag}`,
      target: `${target}:${tag}`,
      tag,
      digest,
    };
    const [program, ...rest] = this.#rule.hook.map((word) =>
      word.replace(/\{(source|target|tag|digest)\}/g, (_all, key: string) => values[key]!),
    );
    if (program === undefined) return;
    try {
      await this.#run.deps.runHook([program, ...rest], this.#run.signal);
    } catch (error) {
      this.#run.signal.throwIfAborted();
      this.#fail(target, tag, error);
    }
  }

  /** The digest at the targets: that of the source, or of its index rewritten to the platforms asked for. */
  async #wanted({ digest }: Descriptor): Promise<Digest> {
    if (this.#selection.kind !== 'platforms') return digest;
    const { memory } = this.#run.deps;
    const key = `rewritten ${digest} ${this.#rule.platforms.map(formatPlatform).join(' ')}`;
    const kept = memory.get(key);
    if (kept !== undefined) return kept as Digest;
    const { signal } = this.#run;
    const raw = await this.#source.manifest({ digest }, { signal });
    const chosen = await selectManifest(this.#source, raw, {
      selection: this.#selection,
      preserveDigests: false,
      signal,
    });
    memory.set(key, chosen.raw.descriptor.digest);
    return chosen.raw.descriptor.digest;
  }

  async #mayHaveReferrers(digest: Digest): Promise<boolean> {
    if (!this.#rule.referrers || this.#run.request.dryRun) return false;
    const stem = referrersTag(digest);
    if (this.#listed !== undefined && [...this.#listed].some((tag) => tag.startsWith(stem))) return true;
    const { descriptors } = await this.#source.reader.referrers(digest, { signal: this.#run.signal });
    return descriptors.length > 0;
  }

  /** The image is there: only what refers to it may be new. */
  async #copyReferrers({ digest }: Descriptor, same: readonly RegistryDestination[]): Promise<void> {
    const { deps, limits, signal } = this.#run;
    const copied = await copyImage(
      { progress: deps.progress, limits },
      {
        ...{ source: this.#source, selector: { digest }, selection: this.#selection, preserveDigests: false },
        targets: same.map((destination) => ({ destination, tags: [] })),
        ...{ referrers: true, quiet: true, signal },
      },
    );
    const failed = copied.targets.find(({ error }) => error !== undefined);
    if (failed !== undefined) throw failed.error!;
  }
}

function nameOf({ host, repository }: { readonly host: string; readonly repository: string }): string {
  return `${host}/${repository}`;
}
