import type { StepRecord } from '../../metadata/index.js';
import type { Semaphore } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { withWorkKey } from '../store/index.js';
import type { CachedStep, StepCache } from './step-cache.js';
import type { LoggedStep } from './step-log.js';
import type { BuildRequest } from './types.js';

export interface StepDeps {
  readonly deps: Pick<OperationDeps, 'metadata' | 'snapshots'>;
  readonly request: Pick<BuildRequest, 'explain' | 'signal'>;
  readonly cache: StepCache;
  /** Limits the number of concurrent steps. */
  readonly slots: Semaphore;
}

/** Turns complete work into the step's result. */
export type KeepStep = (size: number) => Promise<StepRecord>;

/**
 * Takes a step from the cache, or calls `perform` if it is missing or must not be used. `perform` writes the work
 * `workKey` and then calls `keep`, or gives up with undefined. Another build that reaches the same step waits for the
 * result. Throws the errors of `perform`, AbortError.
 */
export async function runStep<R extends StepRecord | undefined>(
  { deps, request, cache, slots }: StepDeps,
  step: CachedStep,
  {
    log,
    useCache,
    perform,
  }: {
    readonly log: LoggedStep;
    readonly useCache: boolean;
    readonly perform: (workKey: string, keep: KeepStep) => Promise<R>;
  },
): Promise<StepRecord | R> {
  const { signal } = request;
  const { key } = step.stepKey;
  const lock = await cache.lock(key, signal);
  try {
    const found = useCache ? await cache.find(step) : undefined;
    if (found !== undefined) {
      log.cached();
      return found;
    }
    const missed = request.explain ? await cache.explain(step) : undefined;
    return await slots.run(async () => {
      signal.throwIfAborted();
      log.run(missed);
      return withWorkKey(deps, signal, async (workKey) => {
        try {
          const record = await perform(workKey, (size) => cache.add(step, { workKey, size }));
          if (record !== undefined) log.done();
          return record;
        } catch (error) {
          log.failed();
          throw error;
        }
      });
    });
  } finally {
    lock.release();
  }
}
