import { UsageError } from '../../errors.js';
import { parseCompression, parsePlatform } from '../../spec/index.js';
import { parseAge } from '../../util/index.js';
import { mirrorConversion, parseMirrorFormat } from './parse-conversion.js';
import { checkRanges } from './select-tags.js';
import { parseRegex } from './parse-regex.js';
import { skopeoRules } from './skopeo-file.js';
import { checkKeys, type FileContext, FileNode } from './sync-file-node.js';
import type { SyncFileOptions } from './sync-file-options.js';
import {
  ALL_TAGS,
  parseSyncSource,
  parseSyncTarget,
  type SyncRule,
  type SyncTarget,
  type TagRules,
} from './sync-rule.js';

const RULE_KEYS = [
  ...['source', 'repositories', 'targets', 'target', 'tags', 'platforms', 'referrers'],
  ...['format', 'compression', 'delete-extra', 'max-delete', 'protect', 'hook', 'source-authfile', 'target-authfile'],
] as const;
const TAG_KEYS = [
  ...['only', 'allow', 'deny', 'allow-regex', 'deny-regex'],
  ...['semver', 'newest', 'newest-by', 'since'],
] as const;
/** Default limit of extra tags; a repository with more keeps them all. */
export const DEFAULT_MAX_DELETE = 10;

/**
 * Reads a sync file in the format of docs/mirroring.md or of skopeo (skopeo-sync(1)). Throws UsageError with the line.
 */
export async function readSyncFile(text: string, title: string, options: SyncFileOptions): Promise<SyncRule[]> {
  // Bundled, a CommonJS package has only a default export.
  const { parseDocument, LineCounter: Lines, isAlias, isMap, isSeq } = (await import('yaml')).default;
  const lines = new Lines();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const { line } = lines.linePos(fault.pos[0]);
    throw new UsageError(`${title} line ${line}: ${fault.message}`);
  }
  const context = { title, document, lines, isAlias, isMap, isSeq } as unknown as FileContext;
  const root = new FileNode(context, document.contents, '');
  const members = root.members();
  const own = members.get('sync');
  if (own === undefined) return skopeoRules(root, options);
  if (options.targets.length > 0) throw new UsageError(`${title} names its targets itself`, { hint: 'leave out DST' });
  if (options.scopedByFlag === true) {
    throw new UsageError(`--scoped requires a source and a target, or a file in skopeo's format`, {
      hint: `write whole targets into ${title}`,
    });
  }
  checkKeys(root, ['sync', 'version']);
  const rules: SyncRule[] = [];
  for (const item of own.items()) rules.push(await readRule(item));
  if (rules.length === 0) throw own.valueError('lists nothing');
  return rules;
}

async function readRule(node: FileNode): Promise<SyncRule> {
  const members = checkKeys(node, RULE_KEYS);
  const need = (key: string): FileNode => {
    const member = members.get(key);
    if (member === undefined) throw node.valueError(`has no ${key}`);
    return member;
  };
  const source = need('source').parsed(parseSyncSource);
  const listed = members.get('repositories')?.texts();
  if (listed !== undefined && source.repository !== undefined)
    throw members.get('repositories')!.valueError('requires a source that is only a host', 'write source: HOST/');
  const kind = source.repository === undefined ? 'registry' : 'repository';
  const targets = (members.get('targets') ?? need('target'))
    .items()
    .map((item) => item.parsed((text): SyncTarget => parseSyncTarget(text, kind)));
  const tags = members.has('tags') ? await readTags(members.get('tags')!) : ALL_TAGS;
  const deletes = {
    maxDelete: members.get('max-delete')?.count() ?? DEFAULT_MAX_DELETE,
    protect: members.get('protect')?.texts() ?? [],
  };
  const referrers = members.get('referrers')?.flag() ?? false;
  const [format, compression] = [members.get('format'), members.get('compression')];
  const conversion = (format ?? compression)?.parsed(() =>
    mirrorConversion(
      { format: format?.parsed(parseMirrorFormat), compression: compression?.parsed(parseCompression) },
      { referrers },
    ),
  );
  return {
    host: source.host,
    ...(source.isV1 ? { isV1: true } : {}),
    ...(conversion === undefined ? {} : { conversion }),
    repositories: source.repository === undefined ? listed : [source.repository],
    targets,
    tags: source.tag === undefined ? tags : { ...tags, exact: [source.tag] },
    platforms:
      members
        .get('platforms')
        ?.items()
        .map((item) => item.parsed(parsePlatform)) ?? [],
    referrers,
    deleteExtra: (members.get('delete-extra')?.flag() ?? false) ? deletes : undefined,
    hook: members.get('hook')?.texts() ?? [],
    ...accessOf('sourceAccess', members.get('source-authfile')),
    ...accessOf('targetAccess', members.get('target-authfile')),
  };
}

function accessOf(side: 'sourceAccess' | 'targetAccess', authfile: FileNode | undefined): Partial<SyncRule> {
  return authfile === undefined ? {} : { [side]: { authfile: authfile.text() } };
}

async function readTags(node: FileNode): Promise<TagRules> {
  if (Array.isArray(node.value)) return { ...ALL_TAGS, exact: node.texts() };
  const members = checkKeys(node, TAG_KEYS);
  const texts = (key: string): string[] => members.get(key)?.texts() ?? [];
  const regexes = (key: string): RegExp[] =>
    members
      .get(key)
      ?.items()
      .map((item) => item.parsed(parseRegex)) ?? [];
  const semver = members.get('semver');
  try {
    await checkRanges(semver?.texts() ?? []);
  } catch (error) {
    throw semver!.valueError(`: ${(error as Error).message}`);
  }
  const by = members.get('newest-by');
  if (by !== undefined && by.value !== 'semver' && by.value !== 'created')
    throw by.valueError('is neither semver nor created');
  return {
    exact: members.get('only')?.texts(),
    allow: texts('allow'),
    deny: texts('deny'),
    allowRegex: regexes('allow-regex'),
    denyRegex: regexes('deny-regex'),
    semver: texts('semver'),
    newest: members.get('newest')?.count(),
    newestBy: by?.value === 'created' ? 'created' : 'semver',
    sinceMs: members.get('since')?.parsed(parseAge),
  };
}
