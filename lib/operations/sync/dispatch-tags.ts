import type { FinishedJob } from '../../queue/index.js';
import type { Digest } from '../../spec/index.js';
import type { SyncRun } from './sync-repository.js';
import type { SyncRule } from './sync-rule.js';
import { parseTagResult, tagJob, tagJobId, type TagJob } from './tag-job.js';
import type { TagQueue } from './types.js';

/** Puts tags of a repository into the queue; `onThere` is told later what each target has, copied or not. */
export async function dispatchTags(
  run: SyncRun,
  job: {
    readonly queue: TagQueue;
    readonly rule: SyncRule;
    readonly repository: string;
    readonly tags: readonly string[];
  },
  onThere: (place: { readonly target: string; readonly tag: string; readonly digest: Digest }, copied: boolean) => void,
): Promise<void> {
  const items = job.tags.map((tag) => {
    const payload = tagJob(job.rule, job.repository, tag);
    return { id: tagJobId(payload), lane: job.rule.host, payload };
  });
  await job.queue.put(items, ({ payload }, finished) => {
    const result = parseTagResult(finished.result);
    const outcomes = result?.outcomes ?? [];
    for (const { target, tag, state, digest } of outcomes)
      if (state !== 'failed' && digest !== undefined) onThere({ target, tag, digest }, state === 'copied');
    for (const outcome of outcomes) run.results.add(outcome);
    for (const totals of result?.blobs ?? []) run.results.addTotals(totals);
    run.results.requests += result?.requests ?? 0;
    if (finished.state === 'dead' && !outcomes.some(({ state }) => state === 'failed'))
      addDead(run, payload as TagJob, finished);
  });
}

/** Its worker never came to say what is wrong with which target. */
function addDead({ results }: SyncRun, { source, tag, targets }: TagJob, { reason }: FinishedJob): void {
  for (const { host, repository } of targets) {
    results.add({
      ...{ source: `${source.host}/${source.repository}`, target: `${host}/${repository}`, tag, state: 'failed' },
      error: reason ?? 'given up',
    });
  }
}
