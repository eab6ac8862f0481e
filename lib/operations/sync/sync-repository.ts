import { NotFoundError, UsageError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { formatPlatform, referrersTag, type Digest, type RawManifest } from '../../spec/index.js';
import { Semaphore } from '../../util/index.js';
import { type ConvertDeps, type Selection, selectManifest } from '../convert/index.js';
import { type CopiedImage, copyImage, openRegistryDestination, type RegistryDestination } from '../copy/index.js';
import { findTag, openRegistrySource } from '../registry/index.js';
import { isAttachedTag, placeOf, selectByName, type SyncRule } from '../sync-rules/index.js';
import { deleteExtraTags } from './delete-extra-tags.js';
import { dispatchTags } from './dispatch-tags.js';
import { estimateCopy } from './plan-tag.js';
import { type HookCall, runHook, runHookIfThere } from './run-hook.js';
import type { SyncRun } from './sync-run.js';
import { type FoundTag, ModernSyncSource, type SyncSource, V1SyncSource } from './sync-source.js';
import type { TagQueue } from './types.js';

/** Clients of both sides of a mirror; the same one unless the rule wants something else. */
export interface SyncSides {
  readonly source: RegistryClient;
  readonly target: RegistryClient;
}

/** One repository to mirror. */
export interface RepositoryJob {
  readonly rule: SyncRule;
  readonly sides: SyncSides;
  readonly repository: string;
}

/** Brings one repository to all its targets. Throws what is not to be survived, AbortError. */
export async function syncRepository(run: SyncRun, job: RepositoryJob): Promise<void> {
  await new RepositorySync(run, job).run();
}

/** One tag to copy to targets that have something else, or nothing. */
interface CopyJob {
  readonly found: FoundTag;
  /** The digest that it is to have; undefined: not known yet. */
  readonly wanted: Digest | undefined;
  /** What each target has now. */
  readonly there: ReadonlyMap<RegistryDestination, Digest | undefined>;
  readonly stale: readonly RegistryDestination[];
}

class RepositorySync {
  readonly #run: SyncRun;
  readonly #rule: SyncRule;
  readonly #sides: SyncSides;
  readonly #repository: string;
  readonly #name: string;
  readonly #selection: Selection;
  #source!: SyncSource;
  /** What is converted waits on the disk: one image at a time, which also knows what the one before has found out. */
  readonly #conversions = new Semaphore(1);
  /** Of v1 images, layers that a plan has counted. */
  readonly #counted = new Set<string>();
  /** Undefined: not known whether there are others. */
  #listed: ReadonlySet<string> | undefined;
  /** Tags of the source whose age is not known though a rule asks for it. */
  readonly #undated = new Set<string>();
  /** What each target is known to have. */
  readonly #there = new Map<RegistryDestination, Map<string, Digest>>();

  constructor(run: SyncRun, { rule, sides, repository }: RepositoryJob) {
    this.#run = run;
    this.#rule = rule;
    this.#sides = sides;
    this.#repository = repository;
    this.#name = `${rule.host}/${repository}`;
    const { platforms } = rule;
    this.#selection = platforms.length === 0 ? { kind: 'all' } : { kind: 'platforms', platforms, lenient: true };
  }

  async run(): Promise<void> {
    const { signal, results } = this.#run;
    const destinations: RegistryDestination[] = [];
    let selected: string[];
    try {
      this.#source = await this.#openSource();
      for (const target of this.#rule.targets) destinations.push(await this.#open(target));
      selected = await this.#select();
    } catch (error) {
      signal.throwIfAborted();
      for (const target of this.#rule.targets) this.#fail(nameOf(placeOf(target, this.#place())), '*', error);
      return;
    }
    results.repositories++;
    const { queue } = this.#run.deps;
    if (queue === undefined || this.#run.request.dryRun) {
      await this.#run.forEach(selected, (tag) => this.#syncTag(tag, destinations));
      await this.#deleteExtra(selected, destinations);
    } else await this.#dispatch(queue, selected, destinations);
  }

  async #dispatch(
    queue: TagQueue,
    tags: readonly string[],
    destinations: readonly RegistryDestination[],
  ): Promise<void> {
    const byName = new Map(destinations.map((destination) => [nameOf(destination.writer), destination]));
    const copied: { readonly destination: RegistryDestination; readonly tag: string }[] = [];
    await dispatchTags(this.#run, { queue, tags, rule: this.#rule, repository: this.#repository }, (target, tag) => {
      const destination = byName.get(target);
      if (destination !== undefined && this.#rule.hook.length > 0) copied.push({ destination, tag });
    });
    this.#run.later.push(async () => {
      for (const { destination, tag } of copied) await runHookIfThere(this.#run, this.#hookFor(tag), destination);
      await this.#deleteExtra(tags, destinations);
    });
  }

  async #deleteExtra(selected: readonly string[], destinations: readonly RegistryDestination[]): Promise<void> {
    const { signal } = this.#run;
    const { deleteExtra } = this.#rule;
    if (deleteExtra === undefined || this.#rule.tags.exact !== undefined) return;
    for (const destination of destinations) {
      try {
        await deleteExtraTags(this.#run, destination, {
          ...deleteExtra,
          source: this.#name,
          selected: new Set(selected),
          undated: this.#undated,
          digests: this.#digestsAt(destination),
        });
      } catch (error) {
        signal.throwIfAborted();
        this.#fail(nameOf(destination.writer), '*', error);
      }
    }
  }

  async #openSource(): Promise<SyncSource> {
    const { signal } = this.#run;
    const registry = this.#sides.source;
    if (this.#rule.isV1 !== true)
      return new ModernSyncSource(await openRegistrySource(registry, this.#place(), { signal }));
    const repository = await registry.openV1({ ...this.#place(), registryVersion: 1 }, { signal });
    return new V1SyncSource(this.#convertDeps()!, repository!);
  }

  #convertDeps(): ConvertDeps | undefined {
    const { convert, memory, progress } = this.#run.deps;
    // That digests change was asked for, for thousands of tags.
    const quiet = { event: progress.event.bind(progress), note: () => undefined };
    return convert === undefined ? undefined : { ...convert, progress: quiet, facts: memory };
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
    const { known, signal, taken } = this.#run;
    const { source, target: registry } = this.#sides;
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
    const mountFrom = source === registry && place.host === this.#rule.host ? [this.#repository] : [];
    return openRegistryDestination(registry, place, { signal, known, mountFrom });
  }

  async #select(): Promise<string[]> {
    const { tags: rules } = this.#rule;
    const { signal } = this.#run;
    if (rules.exact !== undefined) return [...new Set(rules.exact)];
    const listed = await this.#source.tags({ signal });
    this.#listed = new Set(listed);
    const own = listed.filter((tag) => !isAttachedTag(tag));
    const named = await selectByName(own, rules);
    const byCreation = rules.newest !== undefined && rules.newestBy === 'created';
    if (!byCreation && rules.sinceMs === undefined) return named;
    const dated: { tag: string; created: number }[] = [];
    await this.#run.askEach(named, async (tag) => {
      const found = await this.#source.find(tag, { signal });
      if (found === undefined) {
        this.#undated.add(tag);
        return this.#vanished(tag);
      }
      const created = await this.#created(tag, found);
      if (created === undefined) this.#undated.add(tag);
      dated.push({ tag, created: created ?? -Infinity });
    });
    const undated = dated.filter(({ created }) => created === -Infinity).map(({ tag }) => tag);
    if (undated.length > 0) this.#run.deps.progress.note(undatedNote(this.#name, undated));
    const oldest = rules.sinceMs === undefined ? -Infinity : Date.now() - rules.sinceMs;
    const young = dated.filter(({ created }) => created >= oldest);
    young.sort((a, b) => b.created - a.created || (a.tag < b.tag ? -1 : 1));
    return (byCreation ? young.slice(0, rules.newest) : young).map(({ tag }) => tag);
  }

  async #created(tag: string, found: FoundTag): Promise<number | undefined> {
    const { memory } = this.#run.deps;
    const { signal } = this.#run;
    const keyOf = ({ identity }: FoundTag): string => `created ${identity}`;
    const kept = Number(memory.get(keyOf(found)) ?? NaN);
    if (!Number.isNaN(kept)) return kept;
    const read = await this.#source.read(tag, found, { signal });
    const created = await this.#source.created(read, { signal });
    if (created !== undefined) memory.set(keyOf(read), String(created));
    return created;
  }

  /** Reports a tag that the source has listed and no longer has. */
  #vanished(tag: string): void {
    for (const target of this.#rule.targets)
      this.#run.results.add({
        ...{ source: this.#name, target: nameOf(placeOf(target, this.#place())), tag, state: 'vanished' },
      });
  }

  async #syncTag(tag: string, destinations: readonly RegistryDestination[]): Promise<void> {
    const { signal } = this.#run;
    const fail = (destination: RegistryDestination, error: unknown): void => {
      signal.throwIfAborted();
      this.#fail(nameOf(destination.writer), tag, error);
    };
    let found: FoundTag | undefined;
    let wanted: Digest | undefined;
    try {
      found = await this.#source.find(tag, { signal });
      if (found === undefined) {
        if (this.#rule.tags.exact === undefined || this.#rule.tags.mayBeGone === true) return this.#vanished(tag);
        throw new NotFoundError(`${this.#name} has no tag ${tag}`, { kind: 'tag', subject: tag });
      }
      ({ found, wanted } = await this.#wanted(tag, found));
    } catch (error) {
      for (const destination of destinations) fail(destination, error);
      return;
    }
    const there = new Map<RegistryDestination, Digest | undefined>();
    await Promise.all(
      destinations.map(async (destination) => {
        try {
          there.set(destination, (await findTag(destination.reader, tag, signal))?.digest);
        } catch (error) {
          fail(destination, error);
        }
      }),
    );
    let { same, stale } = compare(there, wanted);
    if (stale.length > 0) {
      try {
        const read = await this.#source.read(tag, found, { signal });
        if (read.digest !== found.digest) {
          ({ wanted } = await this.#wanted(tag, read));
          ({ same, stale } = compare(there, wanted));
        }
        found = read;
      } catch (error) {
        for (const destination of stale) fail(destination, error);
        stale = [];
      }
    }
    for (const destination of same) this.#upToDate(destination, tag, wanted!);
    try {
      if (stale.length > 0) await this.#copy(tag, { found, wanted, there, stale });
      const { digest } = found;
      if (same.length > 0 && digest !== undefined && (await this.#mayHaveReferrers(digest)))
        await this.#copyReferrers(digest, same);
    } catch (error) {
      for (const destination of stale.length > 0 ? stale : same) fail(destination, error);
    }
  }

  #upToDate(destination: RegistryDestination, tag: string, digest: Digest): void {
    this.#digestsAt(destination).set(tag, digest);
    const target = nameOf(destination.writer);
    this.#run.results.add({ source: this.#name, target, tag, state: 'up-to-date', digest });
  }

  async #copy(tag: string, job: CopyJob): Promise<void> {
    const { deps, limits, request, results, signal } = this.#run;
    if (request.dryRun) return this.#plan(tag, job);
    const { found, there, stale } = job;
    const convert = this.#convertDeps();
    let seconds = 0;
    const copyNow = async (): Promise<CopiedImage> => {
      const started = performance.now();
      const { source, ...opened } = this.#source.open(tag, found);
      try {
        return await copyImage(
          { progress: deps.progress, limits, ...(convert === undefined ? {} : { convert }) },
          {
            ...{ source, ...opened, selection: this.#selection, preserveDigests: false },
            conversion: this.#rule.conversion,
            targets: stale.map((destination) => ({ destination, tags: [tag] })),
            ...{ referrers: this.#rule.referrers, quiet: true, signal },
          },
        );
      } finally {
        await source.close();
        seconds = (performance.now() - started) / 1000;
      }
    };
    const copied = await (this.#isSealedHere() ? this.#conversions.run(copyNow) : copyNow());
    if (this.#isSealedHere()) deps.memory.set(this.#keyOf(found), copied.digest);
    for (const [i, target] of copied.targets.entries()) {
      const destination = stale[i]!;
      const name = nameOf(destination.writer);
      results.addCopy(name, target, seconds);
      if (target.error !== undefined) {
        this.#fail(name, tag, target.error);
        continue;
      }
      // Only the conversion could tell that.
      if (there.get(destination) === copied.digest) {
        this.#upToDate(destination, tag, copied.digest);
        continue;
      }
      this.#digestsAt(destination).set(tag, copied.digest);
      results.add({ source: this.#name, target: name, tag, state: 'copied', digest: copied.digest });
      await runHook(this.#run, this.#hookFor(tag), { target: name, digest: copied.digest });
    }
  }

  async #plan(tag: string, { found, wanted, stale }: CopyJob): Promise<void> {
    const { results, signal, known } = this.#run;
    if (this.#source instanceof V1SyncSource) {
      for (const [id, size] of await this.#source.layerSizes(found, { signal })) {
        if (this.#counted.has(id)) continue;
        this.#counted.add(id);
        results.plannedBytes += size * stale.length;
        results.plannedRequests += 2 + 3 * stale.length;
      }
    } else {
      const source = this.#source.modern!;
      const chosen = await this.#selected(found);
      const { bytes, requests } = await estimateCopy(source, chosen, { destinations: stale, known, signal });
      results.plannedBytes += bytes;
      results.plannedRequests += requests;
    }
    const digest = wanted === undefined ? {} : { digest: wanted };
    for (const { writer } of stale)
      results.add({ source: this.#name, target: nameOf(writer), tag, state: 'planned-copy', ...digest });
  }

  #hookFor(tag: string): HookCall {
    return { words: this.#rule.hook, source: this.#name, tag };
  }

  /** Manifests are made here: what they are like is known when they are. */
  #isSealedHere(): boolean {
    return this.#rule.conversion !== undefined || this.#source.modern === undefined;
  }

  /** What the digest at the targets is remembered by. */
  #keyOf({ identity }: FoundTag): string {
    const { conversion, platforms } = this.#rule;
    const chosen = platforms.map(formatPlatform).join(' ');
    if (!this.#isSealedHere()) return `rewritten ${identity} ${chosen}`;
    const { format, compression } = conversion ?? {};
    return `converted ${identity} ${format} ${compression?.kind} ${compression?.level} ${chosen}`;
  }

  /**
   * The digest at the targets: that of the source, or of what it is rewritten or converted to; undefined: not known. `found`:
   * the tag, read where that was needed.
   */
  async #wanted(tag: string, found: FoundTag): Promise<Pick<CopyJob, 'found' | 'wanted'>> {
    if (!this.#isSealedHere() && this.#selection.kind !== 'platforms') return { found, wanted: found.digest };
    const { memory } = this.#run.deps;
    const kept = memory.get(this.#keyOf(found)) as Digest | undefined;
    if (kept !== undefined || this.#isSealedHere()) return { found, wanted: kept };
    const read = await this.#source.read(tag, found, { signal: this.#run.signal });
    const { digest } = (await this.#selected(read)).descriptor;
    memory.set(this.#keyOf(read), digest);
    return { found: read, wanted: digest };
  }

  /** What is wanted of a tag that was read. */
  async #selected({ raw }: FoundTag): Promise<RawManifest> {
    const how = { selection: this.#selection, preserveDigests: false, signal: this.#run.signal };
    return (await selectManifest(this.#source.modern!, raw!, how)).raw;
  }

  async #mayHaveReferrers(digest: Digest): Promise<boolean> {
    if (!this.#rule.referrers || this.#run.request.dryRun) return false;
    const stem = referrersTag(digest);
    if (this.#listed !== undefined && [...this.#listed].some((tag) => tag.startsWith(stem))) return true;
    const { descriptors } = await this.#source.modern!.reader.referrers(digest, { signal: this.#run.signal });
    return descriptors.length > 0;
  }

  /** The image is there: only what refers to it may be new. */
  async #copyReferrers(digest: Digest, same: readonly RegistryDestination[]): Promise<void> {
    const { deps, limits, signal } = this.#run;
    const copied = await copyImage(
      { progress: deps.progress, limits },
      {
        ...{ source: this.#source.modern!, selector: { digest }, selection: this.#selection, preserveDigests: false },
        targets: same.map((destination) => ({ destination, tags: [] })),
        ...{ referrers: true, quiet: true, signal },
      },
    );
    const failed = copied.targets.find(({ error }) => error !== undefined);
    if (failed !== undefined) throw failed.error!;
  }
}

function compare(
  there: CopyJob['there'],
  wanted: Digest | undefined,
): { readonly same: RegistryDestination[]; stale: RegistryDestination[] } {
  const [same, stale]: RegistryDestination[][] = [[], []];
  for (const [destination, digest] of there)
    (digest !== undefined && digest === wanted ? same! : stale!).push(destination);
  return { same: same!, stale: stale! };
}

/** Names a few: there may be thousands. */
function undatedNote(source: string, tags: readonly string[]): string {
  const named = tags.slice(0, 5).sort().join(', ') + (tags.length > 5 ? ` and ${tags.length - 5} more` : '');
  const verb = tags.length === 1 ? 'has no creation date: it counts' : 'have no creation date: they count';
  return `warning: ${named} of ${source} ${verb} as the oldest and will not be deleted from targets`;
}

function nameOf({ host, repository }: { readonly host: string; readonly repository: string }): string {
  return `${host}/${repository}`;
}
