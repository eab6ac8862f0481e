import { readFile } from 'node:fs/promises';
import { PartialError, StoreError, UsageError } from '../../errors.js';
import type { SyncReport, SyncRequest, SyncRule } from '../../operations/index.js';
import { parsePlatform } from '../../spec/index.js';
import { fileError, formatSize, mayNamePrograms, runProcess, writeFileAtomic } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { compressionFor } from '../compression-option.js';
import { wholeNumber } from '../option.js';
import { programNamedError, type Options } from '../options.js';
import { SIDE_OPTIONS, sideAccess, withNamedLogin } from '../side-options.js';
import { deletedTagsPath, keepDeletedTag, SyncMemoryFile } from '../sync-state.js';
import { openTagQueue } from '../tag-queue.js';
import { localTime, readSchedule, waitUntil, type Schedule } from '../watch-schedule.js';
import { QUEUE_OPTION } from './common-options.js';

export const sync: CommandSpec = {
  path: ['sync'],
  resumes: true,
  group: 'Registries',
  summary: 'mirror repositories; a tag that is up to date costs one HEAD request per side',
  description:
    'Takes a file (docs/mirroring.md; for a file of skopeo sync, add the targets as DST), or a ' +
    'source and targets: HOST/REPOSITORY, HOST/REPOSITORY:TAG, or HOST/ for all repositories in its catalog; with docker-v1:// ' +
    'before it, the source is read over registry protocol v1. Manifests are copied byte for byte unless --format or --compression is given. An interrupted run resumes when it is started again.\n' +
    'Tags are removed at targets only with --delete-extra. Their manifests are saved in ' +
    '$XDG_STATE_HOME/imgtool/deleted-tags.ndjson and can be restored.',
  arguments: [
    { name: 'FILE|SRC', summary: 'sync file or source', completes: 'file' },
    { name: 'DST', summary: 'target; several share one read of the source', optional: true, variadic: true },
  ],
  options: [
    { name: 'tags', value: 'GLOB', repeat: true, summary: 'only tags that match; * matches anything' },
    { name: 'exclude', value: 'GLOB', repeat: true, summary: 'skip tags that match' },
    { name: 'tags-regex', value: 'REGEX', repeat: true, summary: 'only tags that match the regular expression' },
    { name: 'exclude-regex', value: 'REGEX', repeat: true, summary: 'skip tags that match the regular expression' },
    { name: 'semver', value: 'RANGE', repeat: true, summary: 'only versions in the range, in npm syntax' },
    { name: 'newest', value: 'N', parse: wholeNumber(1), summary: 'only the newest N of the selected tags' },
    {
      name: 'newest-by',
      value: 'WHAT',
      choices: ['semver', 'created'],
      default: 'semver',
      summary: 'order for --newest: version, or creation time of the image',
    },
    { name: 'since', value: 'AGE', summary: 'only images created within this time: 12h, 30d, 2w' },
    {
      name: 'platform',
      value: 'OS/ARCH[/VARIANT]',
      repeat: true,
      summary: 'only these platforms of an index; the index is rewritten',
      shared: true,
    },
    { name: 'referrers', default: false, summary: 'copy signatures, SBOMs and attestations too' },
    {
      name: 'format',
      value: 'FORMAT',
      choices: ['oci', 'v2s2'],
      summary: 'manifest format: OCI or Docker schema 2; default: unchanged',
    },
    {
      name: 'compression',
      value: 'KIND[:LEVEL]',
      summary: 'gzip or zstd; layers that have this compression are kept unless a level is given',
    },
    { name: 'scoped', default: false, summary: 'append host and path of the source to the target' },
    { name: 'delete-extra', default: false, summary: 'remove tags at targets that the source does not have' },
    {
      name: 'max-delete',
      value: 'N',
      parse: wholeNumber(0),
      default: 10,
      summary: 'remove nothing from a repository with more extra tags than this',
    },
    { name: 'protect', value: 'GLOB', repeat: true, summary: 'never remove tags that match' },
    { name: 'dry-run', default: false, summary: 'show what would be copied and removed; change nothing' },
    { name: 'keep-going', default: false, summary: 'continue after a failure; exit code 10 if anything failed' },
    {
      name: 'watch',
      value: 'WHEN',
      summary: 'repeat: at an interval (90s, 15m, 6h) or by a cron schedule ("0 3 * * *", @hourly; local time)',
    },
    {
      name: 'hook',
      value: 'WORDS',
      program: true,
      summary: 'program to run for each changed tag; {source} {target} {tag} {digest}',
    },
    QUEUE_OPTION,
    {
      name: 'rate',
      value: '[HOST=]N/TIME',
      repeat: true,
      summary:
        'with --queue: how many tags all workers together start, per source registry, or from or to HOST: 5/s, 100/6h; none: no limit',
    },
    {
      name: 'attempts',
      value: 'N',
      parse: wholeNumber(1),
      default: 8,
      summary: 'with --queue: how often a tag is tried; the wait doubles each time',
    },
    { name: 'metrics-file', value: 'FILE', summary: 'write metrics for Prometheus to FILE, and as JSON to FILE.json' },
    ...SIDE_OPTIONS,
  ],
  examples: [
    {
      command: "imgtool sync alpine mirror:5000/alpine --semver '>=3.18' --newest 5",
      does: 'mirror the five newest versions',
    },
    { command: 'imgtool sync mirrors.yaml --dry-run', does: 'show what a sync file would do' },
    { command: "imgtool sync mirrors.yaml --watch '0 3 * * *' --keep-going", does: 'every night at three' },
    { command: 'imgtool sync old:5000/ east:5000 west:5000 --keep-going', does: 'a whole registry to two others' },
  ],
  async run(context) {
    const { options, signal } = context;
    const { parseAge } = await import('../../operations/index.js');
    const rules = withSides(await rulesOf(context), options);
    const watch = options.text('watch');
    const schedule = watch === undefined ? undefined : await readSchedule(watch, parseAge);
    const request: SyncRequest = {
      rules,
      dryRun: options.flag('dry-run'),
      keepGoing: options.flag('keep-going'),
      signal,
    };
    if (schedule === undefined) return syncOnce(context, request);
    await syncAgainAndAgain(context, request, schedule);
    return undefined;
  },
};

/** Run after run, never two at a time, until interrupted: between two runs that is a good end, within one an AbortError. */
async function syncAgainAndAgain(context: CommandContext, request: SyncRequest, schedule: Schedule): Promise<void> {
  const { progress, signal, print } = context;
  for (let now = schedule.startsNow; ; now = true) {
    if (now) {
      try {
        print(await syncOnce(context, request));
      } catch (error) {
        signal.throwIfAborted();
        progress.note(`this run failed, the next one follows: ${(error as Error).message}`);
      }
    }
    const next = schedule.next();
    progress.note(`next run at ${localTime(next)}`);
    try {
      await waitUntil(next, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }
}

/** Rules that say nothing themselves of how a side is reached take it from the options. */
function withSides(rules: readonly SyncRule[], options: Options): SyncRule[] {
  const hosts = (open: readonly SyncRule[]): string[] => open.map(({ host }) => host);
  const targets = (open: readonly SyncRule[]): string[] => open.flatMap((rule) => rule.targets.map(({ host }) => host));
  const source = sideAccess(options, 'src', hosts(rules.filter(({ sourceAccess }) => sourceAccess === undefined)));
  const target = sideAccess(options, 'dest', targets(rules.filter(({ targetAccess }) => targetAccess === undefined)));
  const sides = withNamedLogin(
    options,
    rules.map((rule) => ({
      source: rule.sourceAccess ?? source,
      target: rule.targetAccess ?? target,
      sourceHosts: [rule.host],
      targetHosts: rule.targets.map(({ host }) => host),
    })),
  );
  return rules.map((rule, i) => ({ ...rule, sourceAccess: sides[i]!.source, targetAccess: sides[i]!.target }));
}

async function syncOnce(context: CommandContext, request: SyncRequest): Promise<CommandResult> {
  const { compose, progress, options } = context;
  const { sync: syncNow } = await import('../../operations/index.js');
  const transports = await compose.transports();
  const { registry, parallel } = transports;
  const memory = await SyncMemoryFile.open(process.env);
  const journal = deletedTagsPath(process.env);
  let report: SyncReport;
  const queue = request.dryRun ? undefined : await openTagQueue(context, request.rules);
  const keepMemory = memory.keep();
  try {
    report = await syncNow(
      {
        ...{ registry, progress, parallel, memory, convert: transports },
        registryFor: (access) => compose.registryFor(access),
        ...(queue === undefined ? {} : { queue }),
        recordDeletion: (deleted) => keepDeletedTag(journal, deleted),
        runHook: (argv, hookSignal) => runProcess(argv, { signal: hookSignal }),
      },
      // What workers have in hand is not stopped by a failure.
      queue === undefined ? request : { ...request, keepGoing: true },
    );
  } finally {
    await queue?.close();
    await keepMemory();
  }
  await writeMetrics(options.text('metrics-file'), report);
  const result = { json: report, text: [...linesOf(report), sumOf(report)], quiet: linesOf(report) };
  if (report.failed === 0) return result;
  context.print(result);
  const failures = report.tags.flatMap(({ state, target, tag, error }) =>
    state === 'failed' ? [`${target}:${tag}: ${error}`] : [],
  );
  throw new PartialError(`${report.failed} tags failed: ${failures.slice(0, 5).join('; ')}`, {
    failures,
    hint: 'running it again copies what is missing',
  });
}

async function writeMetrics(path: string | undefined, report: SyncReport): Promise<void> {
  if (path === undefined) return;
  const { prometheusText } = await import('../../operations/index.js');
  try {
    await writeFileAtomic(path, prometheusText(report, Date.now()));
    await writeFileAtomic(`${path}.json`, `${JSON.stringify(report)}\n`);
  } catch (error) {
    throw new StoreError(`cannot write ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}

/** A line for each tag that is not up to date. */
function linesOf(report: SyncReport): string[] {
  const did = {
    ...{ copied: 'copied', deleted: 'removed', failed: 'failed', 'up-to-date': 'up to date' },
    vanished: 'no longer at the source:',
    ...{ 'planned-copy': 'to copy', 'planned-delete': 'to remove' },
  } as const;
  return report.tags.map(({ state, source, target, tag }) =>
    state === 'deleted' || state === 'planned-delete'
      ? `${did[state]} ${target}:${tag}`
      : `${did[state]} ${source}:${tag} -> ${target}:${tag}`,
  );
}

function sumOf(report: SyncReport): string {
  const { copied, deleted, upToDate, failed, vanished, bytes, requests, seconds } = report;
  if (report.dryRun) {
    const counts = [`${copied} tags to copy`, `${deleted} to remove`, `${upToDate} up to date`];
    if (failed > 0) counts.push(`${failed} failed`);
    if (vanished > 0) counts.push(`${vanished} no longer at the source`);
    return `${counts.join(', ')}: about ${formatSize(bytes)}, ${report.plannedRequests ?? 0} requests`;
  }
  const counts = [`${copied} tags copied`, `${deleted} removed`, `${upToDate} up to date`];
  if (failed > 0) counts.push(`${failed} failed`);
  if (vanished > 0) counts.push(`${vanished} no longer at the source`);
  return `${counts.join(', ')}: ${formatSize(bytes)} sent, ${requests} requests, ${seconds.toFixed(1)} s`;
}

/** The mirrors asked for, by file or by flags. */
async function rulesOf({ args, options }: CommandContext): Promise<readonly SyncRule[]> {
  const [first, ...targets] = args as [string, ...string[]];
  const { readSyncFile } = await import('../../operations/index.js');
  if (!/\.ya?ml$|\.json$/.test(first) && targets.length > 0) return [await ruleFromFlags(first, targets, options)];
  let text: string;
  try {
    text = await readFile(first, 'utf8');
  } catch (error) {
    if (/\.ya?ml$|\.json$/.test(first)) throw fileError(first, 'read', error);
    throw new UsageError(`${first} is not a file of mirrors, and no target was given`, {
      hint: `name the target: imgtool sync ${first} HOST/REPOSITORY`,
      cause: error,
    });
  }
  const given = RULE_OPTIONS.find((name) => options.origin(name) === 'flag');
  if (given !== undefined) {
    throw new UsageError(`--${given} goes with a source and a target`, { hint: `write it into ${first}` });
  }
  const scoped = { scoped: options.flag('scoped'), scopedByFlag: options.origin('scoped') === 'flag' };
  const rules = await readSyncFile(text, first, { targets, ...scoped });
  if (rules.some(({ hook }) => hook.length > 0) && !mayNamePrograms(first)) throw programNamedError('hook', first);
  return rules;
}

/** What a file says for each of its mirrors: refused as flags; variables and the config file are for commands that take it. */
const RULE_OPTIONS = [
  ...['tags', 'exclude', 'tags-regex', 'exclude-regex', 'semver', 'newest', 'newest-by', 'since', 'platform'],
  ...['referrers', 'format', 'compression', 'delete-extra', 'max-delete', 'protect', 'hook'],
] as const;

async function ruleFromFlags(first: string, targets: readonly string[], options: Options): Promise<SyncRule> {
  const operations = await import('../../operations/index.js');
  const { checkRanges, mirrorConversion, parseAge, parseRegex, parseSyncSource, parseSyncTarget } = operations;
  const { host, repository, tag, isV1 } = parseSyncSource(first);
  const kind = repository === undefined ? 'registry' : 'repository';
  await checkRanges(options.list('semver'));
  const since = options.text('since');
  const form = {
    format: options.text('format') as 'oci' | 'v2s2' | undefined,
    compression: compressionFor(options),
  };
  return {
    ...{ host, isV1, conversion: mirrorConversion(form, { referrers: options.flag('referrers') }) },
    repositories: repository === undefined ? undefined : [repository],
    targets: targets.map((text) => {
      const target = parseSyncTarget(text, options.flag('scoped') ? 'list' : kind);
      return options.flag('scoped') ? { ...target, keep: 'host' } : target;
    }),
    tags: {
      exact: tag === undefined ? undefined : [tag],
      allow: options.list('tags'),
      deny: options.list('exclude'),
      allowRegex: options.list('tags-regex').map(parseRegex),
      denyRegex: options.list('exclude-regex').map(parseRegex),
      semver: options.list('semver'),
      newest: options.number('newest'),
      newestBy: options.text('newest-by') as 'semver' | 'created',
      sinceMs: since === undefined ? undefined : parseAge(since),
    },
    platforms: options.list('platform').flatMap((text) => text.split(',').map(parsePlatform)),
    referrers: options.flag('referrers'),
    deleteExtra: options.flag('delete-extra')
      ? { maxDelete: options.number('max-delete')!, protect: options.list('protect') }
      : undefined,
    hook: (options.text('hook') ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}
