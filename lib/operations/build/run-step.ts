import type { StepRecord } from '../../metadata/index.js';
import type { Semaphore } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { withWorkKey } from '../store/index.js';
import type { CachedStep, StepCache } from './step-cache.js';
import type { LoggedStep } from './step-log.js';
import type { BuildRequest } from './types.js';

/** What running steps needs. */
export interface StepDeps {
  readonly deps: Pick<OperationDeps, 'metadata' | 'snapshots'>;
  readonly request: Pick<BuildRequest, 'explain' | 'signal'>;
  readonly cache: StepCache;
  /** How many steps run at the same time. */
  readonly slots: Semaphore;
}

/** Work of a step that is complete: `keep` makes it the step's result. */
export type KeepStep = (size: number) => Promise<StepRecord>;

/**
 * The result of a step: from the cache or, when it is not there or not to be used, of `perform`, which writes the work `workKey` and
 * then calls `keep`, or gives up with undefined. Another build that comes to the same step waits and finds it. Throws what `perform`
 * throws, AbortError.
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
