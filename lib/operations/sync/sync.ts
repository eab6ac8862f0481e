import { setMaxListeners } from 'node:events';
import { mapLimited } from '../../util/index.js';
import { CopyLimits } from '../copy/copy-tree.js';
import { KnownBlobs } from '../copy/known-blobs.js';
import { syncRepository, type SyncRun } from './sync-repository.js';
import { SyncResults } from './sync-results.js';
import { placeOf, type SyncRule } from './sync-rule.js';
import type { SyncDeps, SyncReport, SyncRequest } from './types.js';

/** Repositories under way at the same time. */
const PARALLEL_REPOSITORIES = 2;

/**
 * Mirrors repositories: one HEAD a tag and side where nothing is new; blobs once however many tags and targets share them.
 * Idempotent: running again resumes. With `keepGoing` failures are told in the report; else the first one is thrown once
 * all that runs has let go. Throws AbortError, what registries throw.
 */
export async function sync(deps: SyncDeps, request: SyncRequest): Promise<SyncReport> {
  const started = performance.now();
  const before = deps.registry.statistics.requests;
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  setMaxListeners(0, signal);
  const results = new SyncResults();
  const run: SyncRun = {
    ...{ deps, request, signal, results },
    limits: new CopyLimits(deps.parallel),
    known: new KnownBlobs(),
    taken: new Map(),
    forEach: (items, work) => forEach(items, deps.parallel, work, failure),
    askEach: (items, work) => forEach(items, deps.parallel, work),
    fail: (place, error) => {
      results.fail(place, error);
      if (!request.keepGoing) throw error;
    },
  };
  for (const rule of request.rules) {
    const repositories = await repositoriesOf(run, rule);
    await forEach(repositories, PARALLEL_REPOSITORIES, (repository) => syncRepository(run, rule, repository), failure);
  }
  return results.report({
    dryRun: request.dryRun,
    requests: deps.registry.statistics.requests - before,
    seconds: (performance.now() - started) / 1000,
  });
}

async function repositoriesOf({ deps, signal, fail }: SyncRun, rule: SyncRule): Promise<readonly string[]> {
  if (rule.repositories !== undefined) return rule.repositories;
  const repositories: string[] = [];
  try {
    for await (const repository of deps.registry.catalog(rule.host, { signal })) repositories.push(repository);
  } catch (error) {
    signal.throwIfAborted();
    for (const target of rule.targets) {
      const { host, repository } = placeOf(target, { host: rule.host, repository: 'catalog' });
      fail({ source: rule.host, target: `${host}/${repository}`, tag: '*' }, error);
    }
  }
  return repositories;
}

/** The first failure is thrown when all have let go; nothing more is begun after it, and what runs is aborted by `failure`. */
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
