import type { CacheRecord, StepRecord } from '../../metadata/index.js';
import { compareText } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { stepSubvolume, sum } from '../store/index.js';

/** Limits of the build cache. */
export interface BuildGarbageRequest {
  /** Maximum size of steps and cache mounts in bytes; the least recently used are removed. */
  readonly keepCacheBytes?: number | undefined;
  /** Maximum time since the last use in ms; undefined: unlimited. */
  readonly cacheTtlMs?: number | undefined;
}

/** The removed part of the build cache, or in a dry run the part to remove. */
export interface BuildGarbage {
  readonly steps: readonly { readonly key: string; readonly size: number }[];
  /** `id`: as in the Dockerfile; empty for an incomplete one left by a killed build. */
  readonly caches: readonly { readonly id: string; readonly size: number }[];
}

/** The build cache, split into items to keep and to remove. */
interface BuildCache {
  readonly steps: readonly Sized<StepRecord>[];
  readonly caches: readonly Sized<CacheRecord>[];
}

type Sized<T> = T & { readonly size: number };
type CacheDeps = Pick<OperationDeps, 'metadata' | 'snapshots'>;

/** All steps and cache mounts with their sizes; takes no lock. */
export async function readBuildCache({ metadata, snapshots }: CacheDeps): Promise<BuildCache> {
  const caches: Sized<CacheRecord>[] = [];
  for (const record of await metadata.caches.list())
    caches.push({ ...record, size: await snapshots.ownBytes({ cache: record.key }) });
  return { steps: await metadata.steps.list(), caches };
}

/** Finds the part of the build cache to remove. Call with the store locked. */
export async function findBuildGarbage(
  deps: CacheDeps,
  { keepCacheBytes, cacheTtlMs = Infinity }: BuildGarbageRequest,
): Promise<{ readonly garbage: BuildGarbage; readonly gone: BuildCache; readonly unrecorded: readonly string[] }> {
  const cache = await readBuildCache(deps);
  const oldest = Date.now() - cacheTtlMs;
  const dead = await unreachable(deps, cache.steps);
  const isOld = ({ used }: { readonly used: string }): boolean => Date.parse(used) < oldest;
  const goneSteps = new Set(cache.steps.filter((step) => dead.has(step.key) || isOld(step)));
  const goneCaches = new Set(cache.caches.filter(isOld));
  if (keepCacheBytes !== undefined) {
    const kept = [
      ...cache.steps
        .filter((step) => !goneSteps.has(step))
        .map((step) => ({ ...step, drop: () => goneSteps.add(step) })),
      ...cache.caches.filter((one) => !goneCaches.has(one)).map((one) => ({ ...one, drop: () => goneCaches.add(one) })),
    ].sort((a, b) => compareText(a.used, b.used));
    let bytes = sum(kept.map(({ size }) => size));
    for (const { size, drop } of kept) {
      if (bytes <= keepCacheBytes && keepCacheBytes > 0) break;
      drop();
      bytes -= size;
    }
  }
  // A step is useless without its predecessor.
  withDescendants(cache.steps, goneSteps);
  const recorded = new Set(cache.caches.map(({ key }) => key));
  const unrecorded = (await deps.snapshots.listCaches()).filter((name) => !recorded.has(name));
  const [steps, caches] = [[...goneSteps], [...goneCaches]];
  return {
    garbage: {
      steps: steps.map(({ key, size }) => ({ key, size })),
      caches: [...caches.map(({ id, size }) => ({ id, size })), ...unrecorded.map(() => ({ id: '', size: 0 }))],
    },
    gone: { steps, caches },
    unrecorded,
  };
}

/** Removes the result of `findBuildGarbage`, records before files. Call with the store locked exclusively. */
export async function removeBuildGarbage(
  { metadata, snapshots }: CacheDeps,
  { gone, unrecorded }: Pick<Awaited<ReturnType<typeof findBuildGarbage>>, 'gone' | 'unrecorded'>,
  signal: AbortSignal,
): Promise<void> {
  for (const step of gone.steps) {
    signal.throwIfAborted();
    await metadata.steps.delete(step.key);
    await snapshots.removeLayer(stepSubvolume(step));
  }
  for (const { key } of gone.caches) {
    signal.throwIfAborted();
    await metadata.caches.delete(key);
    await snapshots.removeCache(key);
  }
  for (const name of unrecorded) await snapshots.removeCache(name);
}

/** Keys of steps that no build can find, because their files or the step below are missing or were replaced. */
async function unreachable({ snapshots }: CacheDeps, steps: readonly StepRecord[]): Promise<ReadonlySet<string>> {
  const ids = new Set(steps.map(({ id }) => id));
  const dead = new Set<string>();
  for (const step of steps)
    if ((step.parent !== undefined && !ids.has(step.parent)) || !(await snapshots.has(stepSubvolume(step))))
      dead.add(step.key);
  return dead;
}

function withDescendants(steps: readonly StepRecord[], gone: Set<StepRecord>): void {
  for (let before = -1; before !== gone.size;) {
    before = gone.size;
    const ids = new Set([...gone].map(({ id }) => id));
    for (const step of steps) if (step.parent !== undefined && ids.has(step.parent)) gone.add(step);
  }
}
