import { UsageError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { openRegistryDestination, type RegistryDestination } from '../copy/index.js';
import { openRegistrySource } from '../registry/index.js';
import { placeOf, type SyncRule } from '../sync-rules/index.js';
import { type ChosenTags, chooseTags } from './choose-tags.js';
import { deleteExtraTags } from './delete-extra-tags.js';
import { dispatchTags } from './dispatch-tags.js';
import { Mirror, nameOf } from './mirror.js';
import { hookFor, runHookIfThere } from './run-hook.js';
import type { SyncRun } from './sync-run.js';
import { convertDeps, V2SyncSource, type SyncSource, V1SyncSource } from './sync-source.js';
import { TagSync } from './sync-tag.js';
import type { TagQueue } from './types.js';

/** The registry clients for both sides of a mirror; the same one unless the rule has its own settings. */
export interface SyncSides {
  readonly source: RegistryClient;
  readonly target: RegistryClient;
}

/** One repository to mirror. */
interface RepositoryJob {
  readonly rule: SyncRule;
  readonly sides: SyncSides;
  readonly repository: string;
}

type Destinations = readonly RegistryDestination[];

/** Mirrors a repository to all its targets. Throws failures that stop the run, AbortError. */
export async function syncRepository(run: SyncRun, job: RepositoryJob): Promise<void> {
  const { signal, results } = run;
  const { rule, repository } = job;
  const place = { host: rule.host, repository };
  const destinations: RegistryDestination[] = [];
  let mirror: Mirror;
  let chosen: ChosenTags;
  try {
    mirror = new Mirror(run, rule, { source: await openSource(run, job), place });
    for (const target of rule.targets) destinations.push(await openTarget(mirror, job.sides, target));
    chosen = await chooseTags(mirror);
  } catch (error) {
    signal.throwIfAborted();
    for (const target of rule.targets)
      run.fail({ source: nameOf(place), target: nameOf(placeOf(target, place)), tag: '*' }, error);
    return;
  }
  results.repositories++;
  const { queue } = run.deps;
  if (queue !== undefined && !run.request.dryRun) return dispatch(mirror, queue, chosen, destinations);
  const tags = new TagSync(mirror);
  await run.forEach(chosen.tags, (tag) => tags.run(tag, destinations));
  await deleteExtra(mirror, chosen, destinations);
}

async function openSource(run: SyncRun, { rule, sides, repository }: RepositoryJob): Promise<SyncSource> {
  const { signal } = run;
  const place = { host: rule.host, repository };
  if (rule.isV1 !== true) return new V2SyncSource(await openRegistrySource(sides.source, place, { signal }));
  const v1 = await sides.source.openV1({ ...place, registryVersion: 1 }, { signal });
  return new V1SyncSource(convertDeps(run)!, v1!);
}

async function openTarget(
  mirror: Mirror,
  sides: SyncSides,
  target: SyncRule['targets'][number],
): Promise<RegistryDestination> {
  const { known, signal, taken } = mirror.run;
  const place = placeOf(target, mirror.place);
  const name = nameOf(place);
  if (name === mirror.name) throw new UsageError(`${name} cannot be mirrored to itself`);
  const other = taken.get(name);
  if (other !== undefined && other !== mirror.name) {
    throw new UsageError(`${other} and ${mirror.name} would both go to ${name}`, {
      hint: 'give them targets of their own',
    });
  }
  taken.set(name, mirror.name);
  const mountFrom = sides.source === sides.target ? mirror.source.v2 : undefined;
  return openRegistryDestination(sides.target, place, { signal, known, mountFrom });
}

/** Puts the tags into the queue for workers. */
async function dispatch(
  mirror: Mirror,
  queue: TagQueue,
  chosen: ChosenTags,
  destinations: Destinations,
): Promise<void> {
  const { run, rule, place } = mirror;
  const byName = new Map(destinations.map((destination) => [nameOf(destination.writer), destination]));
  const copied: { readonly destination: RegistryDestination; readonly tag: string }[] = [];
  const job = { queue, tags: chosen.tags, rule, repository: place.repository };
  await dispatchTags(run, job, (target, tag) => {
    const destination = byName.get(target);
    if (destination !== undefined && rule.hook.length > 0) copied.push({ destination, tag });
  });
  run.later.push(async () => {
    for (const { destination, tag } of copied) await runHookIfThere(run, hookFor(mirror, tag), destination);
    await deleteExtra(mirror, chosen, destinations);
  });
}

async function deleteExtra(mirror: Mirror, { tags, undated }: ChosenTags, destinations: Destinations): Promise<void> {
  const { run, rule } = mirror;
  if (rule.deleteExtra === undefined || rule.tags.exact !== undefined) return;
  for (const destination of destinations) {
    try {
      await deleteExtraTags(run, destination, {
        ...{ ...rule.deleteExtra, source: mirror.name, selected: new Set(tags), undated },
        digests: mirror.digestsAt(destination),
      });
    } catch (error) {
      mirror.fail(destination, '*', error);
    }
  }
}
