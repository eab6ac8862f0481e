import { readFile } from 'node:fs/promises';
import { UsageError } from '../errors.js';
import type { SyncRule } from '../operations/index.js';
import { parsePlatform } from '../spec/index.js';
import { fileError, mayNamePrograms, parseAge, programNamedError } from '../util/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { compressionOf } from './conversion.js';
import type { Drivers } from './drivers.js';
import { sideAccess, SIDES, withNamedLogin, type SideOptions } from './sides.js';

interface OwnMirrorOptions {
  /** Only matching tags; `*` matches any text. */
  readonly tags?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
  readonly tagsRegex?: readonly string[] | undefined;
  readonly excludeRegex?: readonly string[] | undefined;
  /** Only versions in these ranges, in npm's syntax. */
  readonly semver?: readonly string[] | undefined;
  /** Of these, only the newest N. */
  readonly newest?: number | undefined;
  /** Default: `semver`. */
  readonly newestBy?: 'semver' | 'created' | undefined;
  /** Only images created within this age: `12h`, `30d`, `2w`. */
  readonly since?: string | undefined;
  /** Only these platforms of an index. */
  readonly platforms?: readonly string[] | undefined;
  readonly referrers?: boolean | undefined;
  readonly format?: 'oci' | 'v2s2' | undefined;
  readonly compression?: string | undefined;
  /** Appends host and path of the source to the target. */
  readonly scoped?: boolean | undefined;
  /** Appends the last part of the source's name to the target, as skopeo sync does. */
  readonly nested?: boolean | undefined;
  /** Removes tags from targets if the source lacks them. */
  readonly deleteExtra?: boolean | undefined;
  /** Removes nothing from a repository with more extra tags than this. Default: 10. */
  readonly maxDelete?: number | undefined;
  /** Tags that are never removed. */
  readonly protect?: readonly string[] | undefined;
  /** Program, with its arguments, to run for each changed tag. */
  readonly hook?: string | undefined;
}

/** Selection and settings of a mirror. */
export type MirrorOptions = OwnMirrorOptions & SideOptions;

/** Options for reading a file of mirrors. */
export type MirrorFileOptions = SideOptions & {
  /** Targets for a file in skopeo-sync's format, which names none. */
  readonly targets?: readonly string[] | undefined;
  readonly scoped?: boolean | undefined;
  /** True if `scoped` was set explicitly for this file. Default: true when it is given. */
  readonly scopedGiven?: boolean | undefined;
};

const MIRROR: OptionKinds<MirrorOptions> = {
  ...{ ...SIDES, tags: 'texts', exclude: 'texts', tagsRegex: 'texts', excludeRegex: 'texts', semver: 'texts' },
  ...{ newest: 'count', newestBy: ['semver', 'created'], since: 'text', platforms: 'texts', referrers: 'flag' },
  ...{
    format: ['oci', 'v2s2'],
    compression: 'text',
    scoped: 'flag',
    nested: 'flag',
    deleteExtra: 'flag',
    maxDelete: 'countOrZero',
  },
  ...{ protect: 'texts', hook: 'text' },
};
const MIRROR_FILE: OptionKinds<MirrorFileOptions> = {
  ...{ ...SIDES, targets: 'texts', scoped: 'flag', scopedGiven: 'flag' },
};

/** The rules for mirroring a source: HOST/REPOSITORY[:TAG] or HOST/. Throws UsageError, InvalidReferenceError. */
export async function mirrorRules(
  drivers: Drivers,
  source: string,
  to: string | readonly string[],
  given: MirrorOptions,
): Promise<SyncRule[]> {
  checkText('mirrorRules', 'the source', source);
  const targets = typeof to === 'string' ? [to] : to;
  checkTexts('mirrorRules', 'the list of targets', targets);
  const options = checkOptions('mirrorRules', given, MIRROR);
  return withSides([await ruleOf(source, targets, options)], drivers, options);
}

/** The rules of a mirror file (docs/mirroring.md). Throws UsageError, InvalidReferenceError. */
export async function readMirrorFile(drivers: Drivers, path: string, given: MirrorFileOptions): Promise<SyncRule[]> {
  checkText('mirrorFile', 'the path', path);
  const options = checkOptions('mirrorFile', given, MIRROR_FILE);
  const { readSyncFile } = await import('../operations/sync-rules/index.js');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (/\.ya?ml$|\.json$/.test(path)) throw fileError(path, 'read', error);
    throw new UsageError(`${path} is not a file of mirrors, and no target was given`, {
      hint: `name the target: imgtool sync ${path} HOST/REPOSITORY`,
      cause: error,
    });
  }
  const { targets = [], scoped = false } = options;
  const scopedByFlag = options.scopedGiven ?? options.scoped !== undefined;
  const rules = await readSyncFile(text, path, { targets, scoped, scopedByFlag });
  if (rules.some(({ hook }) => hook.length > 0) && !mayNamePrograms(path)) throw programNamedError('hook', path);
  return withSides(rules, drivers, options);
}

/** Rules without access settings of their own take them from the options. */
function withSides(rules: readonly SyncRule[], { settings }: Drivers, options: SideOptions): SyncRule[] {
  const hosts = (open: readonly SyncRule[]): string[] => open.map(({ host }) => host);
  const targets = (open: readonly SyncRule[]): string[] => open.flatMap((rule) => rule.targets.map(({ host }) => host));
  const source = sideAccess(options, 'src', hosts(rules.filter(({ sourceAccess }) => sourceAccess === undefined)));
  const target = sideAccess(options, 'dest', targets(rules.filter(({ targetAccess }) => targetAccess === undefined)));
  const sides = withNamedLogin(
    settings,
    rules.map((rule) => ({
      source: rule.sourceAccess ?? source,
      target: rule.targetAccess ?? target,
      sourceHosts: [rule.host],
      targetHosts: rule.targets.map(({ host }) => host),
    })),
  );
  return rules.map((rule, i) => ({ ...rule, sourceAccess: sides[i]!.source, targetAccess: sides[i]!.target }));
}

async function ruleOf(source: string, targets: readonly string[], options: MirrorOptions): Promise<SyncRule> {
  const operations = await import('../operations/sync-rules/index.js');
  const { checkRanges, DEFAULT_MAX_DELETE, mirrorConversion, parseRegex, parseSyncSource, parseSyncTarget } =
    operations;
  const { host, repository, tag, isV1 } = parseSyncSource(source);
  const kind = repository === undefined ? 'registry' : 'repository';
  const { semver = [], since, scoped = false, nested = false, referrers = false, format } = options;
  await checkRanges(semver);
  return {
    ...{ host, isV1 },
    conversion: mirrorConversion({ format, compression: compressionOf(options) }, { referrers }),
    repositories: repository === undefined ? undefined : [repository],
    targets: targets.map((text) => {
      const target = parseSyncTarget(text, scoped || nested ? 'list' : kind);
      return scoped ? { ...target, keep: 'host' } : target;
    }),
    tags: {
      exact: tag === undefined ? undefined : [tag],
      allow: options.tags ?? [],
      deny: options.exclude ?? [],
      allowRegex: (options.tagsRegex ?? []).map(parseRegex),
      denyRegex: (options.excludeRegex ?? []).map(parseRegex),
      semver,
      newest: options.newest,
      newestBy: options.newestBy ?? 'semver',
      sinceMs: since === undefined ? undefined : parseAge(since),
    },
    platforms: (options.platforms ?? []).flatMap((text) => text.split(',').map(parsePlatform)),
    referrers,
    deleteExtra:
      options.deleteExtra === true
        ? { maxDelete: options.maxDelete ?? DEFAULT_MAX_DELETE, protect: options.protect ?? [] }
        : undefined,
    hook: (options.hook ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}
