import { PartialError, UsageError } from '../../errors.js';
import type { MirrorOptions } from '../../imgtool/index.js';
import type { SyncReport, SyncRule } from '../../operations/index.js';
import { formatSize, parseAge } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { wholeNumber } from '../option.js';
import type { Options } from '../options.js';
import { SIDE_OPTIONS, sideOptions } from '../side-options.js';
import { localTime, readSchedule, waitUntil, type Schedule } from '../watch-schedule.js';
import { QUEUE_OPTION } from './common-options.js';

export const sync: CommandSpec = {
  path: ['sync'],
  resumes: true,
  group: 'Registries',
  summary: 'mirror repositories: what is new is copied, what is there costs one question',
  description:
    'Takes a file (docs/mirroring.md; the form of skopeo-sync is understood too, with targets given after it), or a ' +
    'source and targets: HOST/REPOSITORY, HOST/REPOSITORY:TAG, or HOST/ for all that its catalog lists; with docker-v1:// ' +
    'before it, a registry of protocol v1. Manifests are copied byte for byte, unless another form is asked for. Running again goes on where an earlier run stopped.\n' +
    'Nothing is removed at targets without --delete-extra; what is removed is kept in ' +
    '$XDG_STATE_HOME/imgtool/deleted-tags.ndjson, so that it can be put back.',
  arguments: [
    { name: 'FILE|SRC', summary: 'file of mirrors, or what to mirror', completes: 'file' },
    { name: 'DST', summary: 'where to; several are served by one read', optional: true, variadic: true },
  ],
  options: [
    { name: 'tags', value: 'GLOB', repeat: true, summary: 'only tags like this; * stands for anything' },
    { name: 'exclude', value: 'GLOB', repeat: true, summary: 'no tags like this' },
    { name: 'tags-regex', value: 'REGEX', repeat: true, summary: 'only tags that match' },
    { name: 'exclude-regex', value: 'REGEX', repeat: true, summary: 'no tags that match' },
    { name: 'semver', value: 'RANGE', repeat: true, summary: 'only versions in the range, as npm writes them' },
    { name: 'newest', value: 'N', parse: wholeNumber(1), summary: 'of these, the newest N' },
    {
      name: 'newest-by',
      value: 'WHAT',
      choices: ['semver', 'created'],
      default: 'semver',
      summary: 'what makes a tag newer: its version, or when its image was created',
    },
    { name: 'since', value: 'AGE', summary: 'only images created no longer ago: 12h, 30d, 2w' },
    {
      name: 'platform',
      value: 'OS/ARCH[/VARIANT]',
      repeat: true,
      summary: 'of indexes only these platforms; the index is rewritten',
      shared: true,
    },
    { name: 'referrers', default: false, summary: 'signatures, SBOMs and attestations too' },
    {
      name: 'format',
      value: 'FORMAT',
      choices: ['oci', 'v2s2'],
      summary: 'write manifests as OCI or as Docker schema 2; as they are when not given',
    },
    {
      name: 'compression',
      value: 'KIND[:LEVEL]',
      summary: 'gzip or zstd; layers compressed so already stay, unless a level is given',
    },
    { name: 'scoped', default: false, summary: 'put host and path of the source below the target' },
    { name: 'delete-extra', default: false, summary: 'remove tags at targets that the source does not have' },
    {
      name: 'max-delete',
      value: 'N',
      parse: wholeNumber(0),
      default: 10,
      summary: 'remove nothing from a repository where more tags than this are extra',
    },
    { name: 'protect', value: 'GLOB', repeat: true, summary: 'tags that are never removed' },
    { name: 'dry-run', default: false, summary: 'say what would be copied and removed; change nothing' },
    { name: 'keep-going', default: false, summary: 'go on after a failure; exit code 10 when some of it failed' },
    {
      name: 'watch',
      value: 'WHEN',
      summary: 'do it again and again: each 90s, 15m, 6h, or at times of cron ("0 3 * * *", @hourly; local time)',
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
        'with --queue: tags that workers begin, all together, of each source registry, or from or to HOST: 5/s, 100/6h; none lifts it',
    },
    {
      name: 'attempts',
      value: 'N',
      parse: wholeNumber(1),
      default: 8,
      summary: 'with --queue: times a tag is tried, each after twice the wait',
    },
    { name: 'metrics-file', value: 'FILE', summary: 'figures for Prometheus; as JSON in FILE.json' },
    ...SIDE_OPTIONS,
  ],
  examples: [
    {
      command: "imgtool sync alpine mirror:5000/alpine --semver '>=3.18' --newest 5",
      does: 'the five newest versions',
    },
    { command: 'imgtool sync mirrors.yaml --dry-run', does: 'what a file would do' },
    { command: "imgtool sync mirrors.yaml --watch '0 3 * * *' --keep-going", does: 'each night at three' },
    { command: 'imgtool sync old:5000/ east:5000 west:5000 --keep-going', does: 'a whole registry to two others' },
  ],
  async run(context) {
    const { options } = context;
    const rules = await rulesOf(context);
    const watch = options.text('watch');
    const schedule = watch === undefined ? undefined : await readSchedule(watch, parseAge);
    if (schedule === undefined) return syncOnce(context, rules);
    await syncAgainAndAgain(context, rules, schedule);
    return undefined;
  },
};

/** Run after run, never two at a time, until interrupted: between two runs that is a good end, within one an AbortError. */
async function syncAgainAndAgain(
  context: CommandContext,
  rules: readonly SyncRule[],
  schedule: Schedule,
): Promise<void> {
  const { progress, signal, print } = context;
  for (let now = schedule.startsNow; ; now = true) {
    if (now) {
      try {
        print(await syncOnce(context, rules));
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

async function syncOnce(context: CommandContext, rules: readonly SyncRule[]): Promise<CommandResult> {
  const { imgtool, options, signal } = context;
  const report = await imgtool.sync(rules, {
    dryRun: options.flag('dry-run'),
    keepGoing: options.flag('keep-going'),
    rate: options.list('rate'),
    attempts: options.number('attempts'),
    metricsFile: options.text('metrics-file'),
    signal,
  });
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
async function rulesOf({ args, imgtool, options }: CommandContext): Promise<readonly SyncRule[]> {
  const [first, ...targets] = args as [string, ...string[]];
  if (!/\.ya?ml$|\.json$/.test(first) && targets.length > 0)
    return imgtool.mirrorRules(first, targets, mirrorOptions(options));
  const given = RULE_OPTIONS.find((name) => options.origin(name) === 'flag');
  if (given !== undefined) {
    throw new UsageError(`--${given} goes with a source and a target`, { hint: `write it into ${first}` });
  }
  return imgtool.mirrorFile(first, {
    targets,
    scoped: options.flag('scoped'),
    scopedGiven: options.origin('scoped') === 'flag',
    ...sideOptions(options),
  });
}

/** What a file says for each of its mirrors: refused as flags; variables and the config file are for commands that take it. */
const RULE_OPTIONS = [
  ...['tags', 'exclude', 'tags-regex', 'exclude-regex', 'semver', 'newest', 'newest-by', 'since', 'platform'],
  ...['referrers', 'format', 'compression', 'delete-extra', 'max-delete', 'protect', 'hook'],
] as const;

function mirrorOptions(options: Options): MirrorOptions {
  return {
    tags: options.list('tags'),
    exclude: options.list('exclude'),
    tagsRegex: options.list('tags-regex'),
    excludeRegex: options.list('exclude-regex'),
    semver: options.list('semver'),
    newest: options.number('newest'),
    newestBy: options.text('newest-by') as MirrorOptions['newestBy'],
    since: options.text('since'),
    platforms: options.list('platform'),
    referrers: options.flag('referrers'),
    format: options.text('format') as MirrorOptions['format'],
    compression: options.text('compression'),
    scoped: options.flag('scoped'),
    deleteExtra: options.flag('delete-extra'),
    maxDelete: options.number('max-delete'),
    protect: options.list('protect'),
    hook: options.text('hook'),
    ...sideOptions(options),
  };
}
