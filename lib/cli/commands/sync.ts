import { PartialError, UsageError } from '../../errors.js';
import type { MirrorOptions } from '../../imgtool/index.js';
import type { SyncReport, SyncRule } from '../../operations/index.js';
import { formatSize, parseAge } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandTable, MadeImage } from '../command.js';
import { wholeNumber } from '../options/option.js';
import type { Options } from '../options/options.js';
import { SIDE_OPTIONS, sideOptions } from '../options/sides.js';
import { localTime, readSchedule, waitUntil, type Schedule } from '../watch-schedule.js';
import { QUEUE_OPTION } from '../options/common.js';
import { COMPRESSION, compressionText } from '../options/compression.js';
import { SKOPEO_OPTIONS, syncDirectories } from './sync-as-skopeo.js';

export const sync: CommandTable = {
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
    { name: 'FILE|SRC', summary: 'sync file or source', completes: ['reference', 'file'] },
    {
      name: 'DST',
      summary: 'target; several share one read of the source',
      optional: true,
      variadic: true,
      completes: 'reference',
    },
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
    ...COMPRESSION,
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
    { name: 'dry-run', short: 'n', default: false, summary: 'show what would be copied and removed; change nothing' },
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
    ...SKOPEO_OPTIONS,
    ...SIDE_OPTIONS,
  ],
  examples: [
    {
      command: "imgtool sync alpine mirror:5000/alpine --semver '>=3.18' --newest 5",
      does: 'mirror the five newest versions',
    },
    { command: 'imgtool sync mirrors.yaml --dry-run', does: 'show what a sync file would do' },
    { command: "imgtool sync mirrors.yaml --watch '0 3 * * *' --keep-going", does: 'every night at three' },
    {
      command: 'imgtool sync --src docker --dest dir registry.example/app /media/usb',
      does: 'all tags into directories',
    },
    { command: 'imgtool sync --src dir --dest docker /media/usb mirror:5000', does: 'and from there into a registry' },
    { command: 'imgtool sync old:5000/ east:5000 west:5000 --keep-going', does: 'a whole registry to two others' },
  ],
  async run(context) {
    const { options } = context;
    const directories = await syncDirectories(context);
    if (directories !== undefined) return directories;
    const rules = await rulesOf(context);
    const watch = options.text('watch');
    const schedule = watch === undefined ? undefined : await readSchedule(watch, parseAge);
    if (schedule === undefined) return syncOnce(context, rules);
    await syncAgainAndAgain(context, rules, schedule);
    return undefined;
  },
};

/** Runs sync repeatedly, one run at a time, until interrupted; an interruption during a run is an AbortError. */
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
  const result = {
    json: report,
    text: [...linesOf(report), sumOf(report)],
    quiet: linesOf(report),
    made: madeOf(report),
  };
  if (report.failed === 0) return result;
  context.print(result);
  const failures = report.tags.flatMap(({ state, target, tag, error }) =>
    state === 'failed' ? [`${target}:${tag}: ${error}`] : [],
  );
  throw new PartialError(`${report.failed} tags failed: ${failures.slice(0, 5).join('; ')}`, {
    failures,
    hint: 'run the command again to copy the rest',
  });
}

const DID = {
  ...{ copied: 'copied', deleted: 'removed', failed: 'failed', 'up-to-date': 'up to date' },
  vanished: 'no longer at the source:',
  ...{ 'planned-copy': 'to copy', 'planned-delete': 'to remove' },
} as const;

function madeOf(report: SyncReport): MadeImage[] {
  return report.tags.map(({ state, target, tag, digest, error }) => ({
    image: `${target}:${tag}`,
    digest,
    error,
    did: DID[state].replace(/:$/, ''),
  }));
}

/** A line for each tag that is not up to date. */
function linesOf(report: SyncReport): string[] {
  return report.tags.map(({ state, source, target, tag }) =>
    state === 'deleted' || state === 'planned-delete'
      ? `${DID[state]} ${target}:${tag}`
      : `${DID[state]} ${source}:${tag} -> ${target}:${tag}`,
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

/** The requested mirrors, from a file or flags. */
async function rulesOf({ args, imgtool, options }: CommandContext): Promise<readonly SyncRule[]> {
  const [first, ...targets] = args as [string, ...string[]];
  const [src, dest] = [options.text('src'), options.text('dest')];
  if (src !== 'yaml' && (src === 'docker' || !/\.ya?ml$|\.json$/.test(first)) && targets.length > 0)
    return imgtool.mirrorRules(first, targets, { ...mirrorOptions(options), nested: dest === 'docker' });
  const given = RULE_OPTIONS.find((name) => options.origin(name) === 'flag');
  if (given !== undefined) {
    throw new UsageError(`--${given} cannot be used with a file of rules`, { hint: `write it into ${first}` });
  }
  return imgtool.mirrorFile(first, {
    targets,
    scoped: options.flag('scoped'),
    scopedGiven: options.origin('scoped') === 'flag',
    ...sideOptions(options),
  });
}

/** Options that a rule file sets for each mirror. As flags they are refused; variables and the config file are for commands that take them. */
const RULE_OPTIONS = [
  ...['tags', 'exclude', 'tags-regex', 'exclude-regex', 'semver', 'newest', 'newest-by', 'since', 'platform'],
  ...[
    'referrers',
    'format',
    'compression',
    'compression-format',
    'compression-level',
    'delete-extra',
    'max-delete',
    'protect',
    'hook',
  ],
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
    compression: compressionText(options),
    scoped: options.flag('scoped'),
    deleteExtra: options.flag('delete-extra'),
    maxDelete: options.number('max-delete'),
    protect: options.list('protect'),
    hook: options.text('hook'),
    ...sideOptions(options),
  };
}
