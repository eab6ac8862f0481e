import { mapLimited } from '../../util/index.js';
import { CopyLimits } from '../copy/index.js';
import { BlobPlaces } from '../download/index.js';
import { searchRepositories, measureTraffic } from '../registry/index.js';
import { placeOf, type SyncRule } from '../sync-rules/index.js';
import { syncRepository, type SyncSides } from './sync-repository.js';
import { SyncResults } from './sync-results.js';
import type { SyncDeps, SyncReport, SyncRequest } from './types.js';
import type { SyncRun } from './sync-run.js';

/** The number of concurrent repositories. */
const PARALLEL_REPOSITORIES = 2;

/**
 * Mirrors repositories. Sends one HEAD request per tag and side if nothing is new, and copies each blob once even if
 * tags and targets share it. Idempotent: running it again resumes. With `keepGoing`, reports failures; otherwise throws
 * the first one after running work has ended. Throws AbortError, and the errors of registries.
 */
export async function sync(deps: SyncDeps, request: SyncRequest): Promise<SyncReport> {
  const rules: { readonly rule: SyncRule; readonly sides: SyncSides }[] = [];
  for (const rule of request.rules) rules.push({ rule, sides: await sidesOf(deps, rule) });
  const traffic = measureTraffic(rules.flatMap(({ sides }) => [sides.source, sides.target]));
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  const results = new SyncResults(deps.onTag);
  const run: SyncRun = {
    ...{ deps, request, signal, results },
    limits: deps.shared?.limits ?? new CopyLimits(deps.parallel),
    known: deps.shared?.known ?? new BlobPlaces(),
    taken: new Map(),
    later: [],
    forEach: (items, work) => forEach(items, deps.parallel, work, failure),
    askEach: (items, work) => forEach(items, deps.parallel, work),
    fail: (place, error) => {
      results.fail(place, error);
      if (!request.keepGoing) throw error;
    },
  };
  for (const { rule, sides } of rules) {
    const repositories = await repositoriesOf(run, rule, sides);
    const syncOne = (repository: string): Promise<void> => syncRepository(run, { rule, sides, repository });
    await forEach(repositories, PARALLEL_REPOSITORIES, syncOne, failure);
  }
  if (deps.queue !== undefined) await deps.queue.settled();
  await forEach(run.later, PARALLEL_REPOSITORIES, (work) => work(), failure);
  const { requests, seconds } = traffic();
  return results.report({ dryRun: request.dryRun, requests, seconds });
}

async function sidesOf({ registry, registryFor }: SyncDeps, rule: SyncRule): Promise<SyncSides> {
  const { sourceAccess, targetAccess } = rule;
  return {
    source: sourceAccess === undefined ? registry : await registryFor(sourceAccess),
    target: targetAccess === undefined ? registry : await registryFor(targetAccess),
  };
}

async function repositoriesOf(
  { signal, fail }: SyncRun,
  rule: SyncRule,
  { source }: SyncSides,
): Promise<readonly string[]> {
  if (rule.repositories !== undefined) return rule.repositories;
  const repositories: string[] = [];
  try {
    const hint = 'list what to mirror under repositories: in a file';
    if (rule.isV1 === true) return await searchRepositories(source, rule.host, { hint, signal });
    for await (const repository of source.catalog(rule.host, { signal })) repositories.push(repository);
  } catch (error) {
    signal.throwIfAborted();
    for (const target of rule.targets) {
      const { host, repository } = placeOf(target, { host: rule.host, repository: 'catalog' });
      fail({ source: rule.host, target: `${host}/${repository}`, tag: '*' }, error);
    }
  }
  return repositories;
}

/**
 * Runs `work` on all items. After the first failure, starts no more, aborts running work through `failure`, and throws
 * when it has ended.
 */
async function forEach<T>(
  items: readonly T[],
  parallel: number,
  work: (item: T) => Promise<void>,
  failure?: AbortController,
): Promise<void> {
  let first: { readonly error: unknown } | undefined;
  await mapLimited(items, parallel, async (item) => {
    if (first !== undefined) return;
    try {
      await work(item);
    } catch (error) {
      first ??= { error };
      failure?.abort(error);
    }
  });
  if (first !== undefined) throw first.error;
}
