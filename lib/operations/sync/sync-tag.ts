import { NotFoundError } from '../../errors.js';
import { formatPlatform, referrersTag, type Digest, type RawManifest } from '../../spec/index.js';
import { Semaphore } from '../../util/index.js';
import { type Selection, selectManifest } from '../convert/index.js';
import { type CopiedImage, copyImage, type RegistryDestination } from '../copy/index.js';
import { findTag } from '../registry/index.js';
import { type Mirror, nameOf } from './mirror.js';
import { hookFor, runHook } from './run-hook.js';
import { convertDeps, type FoundTag } from './sync-source.js';

/** A tag to copy to targets that lack it or have a different digest. */
interface CopyJob {
  readonly found: FoundTag;
  /** The digest that targets should have; undefined if not known yet. */
  readonly wanted: Digest | undefined;
  /** The present digest at each target. */
  readonly there: ReadonlyMap<RegistryDestination, Digest | undefined>;
  readonly stale: readonly RegistryDestination[];
}

/** Mirrors tags of one repository to its targets, each tag independently. */
export class TagSync {
  readonly #mirror: Mirror;
  readonly #selection: Selection;
  /** Converts one image at a time, because conversions use disk space and benefit from the results of earlier ones. */
  readonly #conversions = new Semaphore(1);

  constructor(mirror: Mirror) {
    this.#mirror = mirror;
    const { platforms } = mirror.rule;
    this.#selection = platforms.length === 0 ? { kind: 'all' } : { kind: 'platforms', platforms, lenient: true };
  }

  /**
   * Compares a tag with its targets, copies it where it differs, and records failures. Throws failures that stop the
   * run, AbortError.
   */
  async run(tag: string, destinations: readonly RegistryDestination[]): Promise<void> {
    const mirror = this.#mirror;
    const { run, rule, source } = mirror;
    const { signal } = run;
    let found: FoundTag | undefined;
    let wanted: Digest | undefined;
    try {
      found = await source.find(tag, { signal });
      if (found === undefined) {
        if (rule.tags.exact === undefined || rule.tags.mayBeGone === true) return mirror.vanished(tag);
        throw new NotFoundError(`${mirror.name} has no tag ${tag}`, { kind: 'tag', subject: tag });
      }
      ({ found, wanted } = await this.#wanted(tag, found));
    } catch (error) {
      for (const destination of destinations) mirror.fail(destination, tag, error);
      return;
    }
    const there = new Map<RegistryDestination, Digest | undefined>();
    await Promise.all(
      destinations.map(async (destination) => {
        try {
          there.set(destination, (await findTag(destination.reader, tag, signal))?.digest);
        } catch (error) {
          mirror.fail(destination, tag, error);
        }
      }),
    );
    let { same, stale } = compare(there, wanted);
    if (stale.length > 0) {
      try {
        const read = await source.read(tag, found, { signal });
        if (read.digest !== found.digest) {
          ({ wanted } = await this.#wanted(tag, read));
          ({ same, stale } = compare(there, wanted));
        }
        found = read;
      } catch (error) {
        for (const destination of stale) mirror.fail(destination, tag, error);
        stale = [];
      }
    }
    for (const destination of same) this.#upToDate(destination, tag, wanted!);
    try {
      if (stale.length > 0) await this.#copy(tag, { found, wanted, there, stale });
    } catch (error) {
      for (const destination of stale) mirror.fail(destination, tag, error);
      return;
    }
    try {
      const { digest } = found;
      if (same.length > 0 && digest !== undefined && (await this.#mayHaveReferrers(digest)))
        await this.#copyReferrers(digest, same);
    } catch (error) {
      for (const destination of same) mirror.fail(destination, tag, error);
    }
  }

  #upToDate(destination: RegistryDestination, tag: string, digest: Digest): void {
    this.#mirror.digestsAt(destination).set(tag, digest);
    const target = nameOf(destination.writer);
    this.#mirror.run.results.add({ source: this.#mirror.name, target, tag, state: 'up-to-date', digest });
  }

  async #copy(tag: string, job: CopyJob): Promise<void> {
    const { deps, limits, request, results, signal } = this.#mirror.run;
    if (request.dryRun) return this.#plan(tag, job);
    const { found, there, stale } = job;
    const convert = convertDeps(this.#mirror.run);
    let seconds = 0;
    const copyNow = async (): Promise<CopiedImage> => {
      const started = performance.now();
      const { source, ...opened } = this.#mirror.source.open(tag, found);
      try {
        return await copyImage(
          { progress: deps.progress, limits, convert },
          {
            ...{ source, ...opened, selection: this.#selection, preserveDigests: false },
            conversion: this.#mirror.rule.conversion,
            targets: stale.map((destination) => ({ destination, tags: [tag] })),
            ...{ referrers: this.#mirror.rule.referrers, quiet: true, signal },
          },
        );
      } finally {
        await source.close();
        seconds = (performance.now() - started) / 1000;
      }
    };
    const copied = await (this.#isRewritten() ? this.#conversions.run(copyNow) : copyNow());
    if (this.#isRewritten()) deps.memory.set(this.#keyOf(found), copied.digest);
    for (const [i, target] of copied.targets.entries()) {
      const destination = stale[i]!;
      const name = nameOf(destination.writer);
      results.addCopy(name, target, seconds);
      if (target.error !== undefined) {
        this.#mirror.fail(destination, tag, target.error);
        continue;
      }
      // Only the conversion reveals this.
      if (there.get(destination) === copied.digest) {
        this.#upToDate(destination, tag, copied.digest);
        continue;
      }
      this.#mirror.digestsAt(destination).set(tag, copied.digest);
      results.add({ source: this.#mirror.name, target: name, tag, state: 'copied', digest: copied.digest });
      await runHook(this.#mirror.run, hookFor(this.#mirror, tag), { target: name, digest: copied.digest });
    }
  }

  async #plan(tag: string, { found, wanted, stale }: CopyJob): Promise<void> {
    const { results, signal, known } = this.#mirror.run;
    const selected = (): Promise<RawManifest> => this.#selected(found);
    const { bytes, requests } = await this.#mirror.source.plan(found, { selected, destinations: stale, known, signal });
    results.plannedBytes += bytes;
    results.plannedRequests += requests;
    const digest = wanted === undefined ? {} : { digest: wanted };
    for (const { writer } of stale)
      results.add({ source: this.#mirror.name, target: nameOf(writer), tag, state: 'planned-copy', ...digest });
  }

  /** True when digests are known only after the copy, because it creates manifests. */
  #isRewritten(): boolean {
    return this.#mirror.rule.conversion !== undefined || this.#mirror.source.v2 === undefined;
  }

  /** The key under which the digest at the targets is stored. */
  #keyOf({ identity }: FoundTag): string {
    const { conversion, platforms } = this.#mirror.rule;
    const chosen = platforms.map(formatPlatform).join(' ');
    if (!this.#isRewritten()) return `rewritten ${identity} ${chosen}`;
    const { format, compression } = conversion ?? {};
    return `converted ${identity} ${format} ${compression?.kind} ${compression?.level} ${chosen}`;
  }

  /**
   * The digest that targets should have: that of the source, or of its rewritten or converted form; undefined if not
   * known. `found`: the tag, read if necessary.
   */
  async #wanted(tag: string, found: FoundTag): Promise<Pick<CopyJob, 'found' | 'wanted'>> {
    if (!this.#isRewritten() && this.#selection.kind !== 'platforms') return { found, wanted: found.digest };
    const { memory } = this.#mirror.run.deps;
    const kept = memory.get(this.#keyOf(found)) as Digest | undefined;
    if (kept !== undefined || this.#isRewritten()) return { found, wanted: kept };
    const read = await this.#mirror.source.read(tag, found, { signal: this.#mirror.run.signal });
    const { digest } = (await this.#selected(read)).descriptor;
    memory.set(this.#keyOf(read), digest);
    return { found: read, wanted: digest };
  }

  /** The part to copy of a tag that has been read. */
  async #selected({ raw }: FoundTag): Promise<RawManifest> {
    const how = { selection: this.#selection, preserveDigests: false, signal: this.#mirror.run.signal };
    return (await selectManifest(this.#mirror.source.v2!, raw!, how)).raw;
  }

  async #mayHaveReferrers(digest: Digest): Promise<boolean> {
    if (!this.#mirror.rule.referrers || this.#mirror.run.request.dryRun) return false;
    const stem = referrersTag(digest);
    if (this.#mirror.listed !== undefined && [...this.#mirror.listed].some((tag) => tag.startsWith(stem))) return true;
    const { descriptors } = await this.#mirror.source.v2!.reader.referrers(digest, {
      signal: this.#mirror.run.signal,
    });
    return descriptors.length > 0;
  }

  /** Copies only what refers to an image that is up to date. */
  async #copyReferrers(digest: Digest, same: readonly RegistryDestination[]): Promise<void> {
    const { deps, limits, signal } = this.#mirror.run;
    const copied = await copyImage(
      { progress: deps.progress, limits },
      {
        ...{
          source: this.#mirror.source.v2!,
          selector: { digest },
          selection: this.#selection,
          preserveDigests: false,
        },
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
