import type { SyncRule } from '../sync-rules/index.js';
import type { SyncRun } from './sync-run.js';
import { parseTagResult, tagJob, type TagJob, tagJobId } from './tag-job.js';
import type { TagQueue } from './types.js';

/**
 * Puts the tags of a repository into the queue, and adds the results of the workers to those of the run. Calls
 * `onCopied` for each tag that a worker claims to have copied to a target, which only the target can confirm.
 */
export async function dispatchTags(
  run: SyncRun,
  job: {
    readonly queue: TagQueue;
    readonly rule: SyncRule;
    readonly repository: string;
    readonly tags: readonly string[];
  },
  onCopied: (target: string, tag: string) => void,
): Promise<void> {
  const { results } = run;
  const items = job.tags.map((tag) => {
    const payload = tagJob(job.rule, job.repository, tag);
    return { id: tagJobId(payload), lane: job.rule.host, payload };
  });
  await job.queue.put(items, (item, finished) => {
    const payload = item.payload as TagJob;
    const result = parseTagResult(finished.result, payload);
    if (result === undefined) return failAll(run, payload, finished.reason ?? 'the queue holds no valid result of it');
    for (const outcome of result.outcomes) {
      if (outcome.state === 'copied') onCopied(outcome.target, outcome.tag);
      results.add(outcome);
    }
    for (const totals of result.blobs) results.addTotals(totals);
    results.requests += result.requests;
    if (finished.state === 'dead' && !result.outcomes.some(({ state }) => state === 'failed'))
      failAll(run, payload, finished.reason ?? 'given up');
  });
}

/** Reports all targets as failed, if no worker has reported which ones fail. */
function failAll({ results }: SyncRun, { source, tag, targets }: TagJob, error: string): void {
  for (const { host, repository } of targets) {
    const target = `${host}/${repository}`;
    results.add({ source: `${source.host}/${source.repository}`, target, tag, state: 'failed', error });
  }
}
