import { ImgtoolError, StoreError, UsageError } from '../errors.js';
import type { SyncedTag, SyncReport, SyncRule, TagJob } from '../operations/index.js';
import { runProcess, thenCloseAll, writeFileAtomic } from '../util/index.js';
import { checkOptions, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { SEVERAL_LOGINS } from './named-login.js';
import { deletedTagsPath, keepDeletedTag, SyncMemoryFile } from './sync-state.js';
import { openTagQueue } from './tag-queue.js';

export interface SyncOptions extends Stoppable {
  /** Changes nothing; the report describes what a run would do. */
  readonly dryRun?: boolean | undefined;
  /** Continue with the other tags after a failure. */
  readonly keepGoing?: boolean | undefined;
  /** With a queue: `[HOST=]N/TIME`, the rate at which workers start tags. */
  readonly rate?: readonly string[] | undefined;
  /** With a queue: attempts per tag. Default: 8. */
  readonly attempts?: number | undefined;
  /** File for metrics in Prometheus format, and as JSON in FILE.json. */
  readonly metricsFile?: string | undefined;
  /** Called for each tag at each target, including those up to date. */
  readonly onTag?: ((tag: SyncedTag) => void) | undefined;
}

export interface WorkerOptions extends Stoppable {
  /** Seconds of silence after which other workers take over a worker's tags. Default: 15. */
  readonly takeOver?: number | undefined;
  /** Called for each finished tag. */
  readonly onTag?: ((tag: SyncedTag) => void) | undefined;
}

/** A tag that workers gave up on. */
export interface DeadTag {
  /** `host/repository`. */
  readonly source: string;
  readonly target: string;
  readonly tag: string;
  readonly attempts: number;
  readonly reason: string;
}

const SYNC: OptionKinds<SyncOptions> = {
  ...{ ...STOPPABLE, dryRun: 'flag', keepGoing: 'flag', rate: 'texts', attempts: 'count' },
  ...{ metricsFile: 'text', onTag: 'function' },
};
const WORKER: OptionKinds<WorkerOptions> = { ...STOPPABLE, takeOver: 'count', onTag: 'function' };

export async function sync(drivers: Drivers, rules: readonly SyncRule[], given: SyncOptions): Promise<SyncReport> {
  if (!Array.isArray(rules))
    throw new UsageError('sync: the rules are not an array', { hint: 'make them with mirrorRules' });
  const options = checkOptions('sync', given, SYNC);
  const { dryRun = false, keepGoing = false, rate = [], attempts = 8, onTag } = options;
  const request = { rules, dryRun, keepGoing, signal: signalOf(options) };
  const { sync: syncNow } = await import('../operations/sync/index.js');
  const transports = await drivers.transports();
  const { registry, parallel } = transports;
  const { env } = drivers.settings;
  const memory = await SyncMemoryFile.open(env);
  const journal = deletedTagsPath(env);
  const queue = dryRun ? undefined : await openTagQueue(drivers, rules, { rate, attempts, signal: request.signal });
  const keepMemory = memory.keep();
  const mirror = (): Promise<SyncReport> =>
    syncNow(
      {
        ...{ registry, progress: drivers.progress, parallel, memory, convert: transports },
        registryFor: (access) => drivers.registryFor(access),
        ...(queue === undefined ? {} : { queue }),
        ...(onTag === undefined ? {} : { onTag: (tag: SyncedTag) => onTag(tag) }),
        recordDeletion: (deleted) => keepDeletedTag(journal, deleted),
        runHook: (argv, hookSignal) => runProcess(argv, { signal: hookSignal }),
      },
      // A failure does not stop tags that workers are already copying.
      queue === undefined ? request : { ...request, keepGoing: true },
    );
  const report = await thenCloseAll(mirror, [() => queue?.close(), keepMemory]);
  if (options.metricsFile !== undefined) await writeMetrics(options.metricsFile, report);
  return report;
}

async function writeMetrics(path: string, report: SyncReport): Promise<void> {
  const { prometheusText } = await import('../operations/sync/index.js');
  try {
    await writeFileAtomic(path, prometheusText(report, Date.now()));
    await writeFileAtomic(`${path}.json`, `${JSON.stringify(report)}\n`);
  } catch (error) {
    throw new StoreError(`cannot write ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}

/** Copies tags from the queue of `sync` until the signal aborts. */
export async function work(drivers: Drivers, given: WorkerOptions): Promise<void> {
  const options = checkOptions('worker', given, WORKER);
  drivers.namedLogin([], SEVERAL_LOGINS);
  const { TagMirror } = await import('../operations/sync/index.js');
  const { registry, parallel } = await drivers.transports();
  const { progress } = drivers;
  const memory = await SyncMemoryFile.open(drivers.settings.env);
  const keepMemory = memory.keep();
  const mirror = new TagMirror({ registry, progress, parallel, memory }, (tag) => options.onTag?.(tag));
  try {
    const jobs = await drivers.jobWorker({
      leaseMs: (options.takeOver ?? 15) * 1000,
      work: (payload, how) => mirror.work(payload, how),
      signal: signalOf(options),
    });
    progress.note('waiting for tags');
    await jobs.run();
  } finally {
    await keepMemory();
  }
}

export async function listDeadTags(drivers: Drivers, given: Stoppable): Promise<DeadTag[]> {
  const signal = signalOf(checkOptions('deadTags', given, STOPPABLE));
  drivers.namedLogin([], SEVERAL_LOGINS);
  const { parseTagJob } = await import('../operations/sync/index.js');
  let foreign = 0;
  const read = (payload: unknown): TagJob | undefined => {
    try {
      return parseTagJob(payload);
    } catch (error) {
      if (!(error instanceof ImgtoolError)) throw error;
      foreign++;
      return undefined;
    }
  };
  const queue = await drivers.jobQueue({ attempts: 1, backoffMs: 0, signal });
  try {
    const dead = (await queue.dead()).flatMap(({ payload, reason, attempts }) => {
      const job = read(payload);
      if (job === undefined) return [];
      const { source, tag, targets } = job;
      return targets.map((target) => ({
        source: `${source.host}/${source.repository}`,
        target: `${target.host}/${target.repository}`,
        ...{ tag, attempts, reason },
      }));
    });
    if (foreign > 0) drivers.progress.note(`${foreign} jobs in the queue are not of sync, or of another version`);
    return dead;
  } finally {
    await queue.close();
  }
}
