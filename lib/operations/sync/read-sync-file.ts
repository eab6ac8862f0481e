import type { Alias, Document, LineCounter, Node, Pair, Scalar, YAMLMap } from 'yaml';
import { ImgtoolError, UsageError } from '../../errors.js';
import { parseCompression, parsePlatform } from '../../spec/index.js';
import { checkRanges } from './select-tags.js';
import {
  ALL_TAGS,
  parseSyncSource,
  parseSyncTarget,
  type SyncRule,
  type SyncTarget,
  type TagRules,
} from './sync-rule.js';
import { parseAge } from '../../util/index.js';
import { mirrorConversion, parseMirrorFormat } from './parse-conversion.js';
import { skopeoRules } from './skopeo-file.js';

/** A value of the file and the place it stands at, for messages. */
export class FileNode {
  readonly value: unknown;
  /** Where it is in the document: `sync[0].tags`. */
  readonly path: string;
  readonly #node: Node | null;
  readonly #file: FileContext;

  constructor(file: FileContext, node: Node | null, path: string) {
    this.#file = file;
    this.#node = file.isAlias(node) ? (node.resolve(file.document) ?? null) : node;
    this.path = path;
    this.value = node === null ? null : node.toJS(file.document);
  }

  /** Members of a mapping by key. Throws UsageError when it is none. */
  members(): Map<string, FileNode> {
    if (!this.#file.isMap(this.#node)) throw this.bad('is not a mapping');
    const members = new Map<string, FileNode>();
    for (const { key, value } of this.#node.items as Pair<Scalar, Node | null>[]) {
      const name = String(key.value);
      members.set(name, new FileNode(this.#file, value, this.path === '' ? name : `${this.path}.${name}`).at(key));
    }
    return members;
  }

  /** Items of a list; a single value counts as a list of one. */
  items(): FileNode[] {
    if (!this.#file.isSeq(this.#node)) return [this];
    return this.#node.items.map((item, i) => new FileNode(this.#file, item as Node, `${this.path}[${i}]`));
  }

  text(): string {
    if (typeof this.value === 'string' && this.value !== '') return this.value;
    if (typeof this.value === 'number') return (this.#node as Scalar).source ?? String(this.value);
    throw this.bad('is not a text');
  }

  texts(): string[] {
    return this.items().map((item) => item.text());
  }

  flag(): boolean {
    if (typeof this.value === 'boolean') return this.value;
    throw this.bad('is neither true nor false');
  }

  count(): number {
    if (Number.isSafeInteger(this.value) && (this.value as number) >= 0) return this.value as number;
    throw this.bad('is not a whole number');
  }

  /** What `parse` makes of it; its errors get the line. */
  parsed<T>(parse: (text: string) => T): T {
    return this.parsedKey(parse, this.text());
  }

  /** As `parsed`, for a text that belongs to it. */
  parsedKey<T>(parse: (text: string) => T, text: string): T {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof ImgtoolError && !(error instanceof LineError))
        throw this.bad(`: ${error.message}`, error.hint);
      throw error;
    }
  }

  bad(why: string, hint?: string): UsageError {
    const gap = why.startsWith(':') ? '' : ' ';
    return new LineError(`${this.#file.title} line ${this.line}: ${this.path || 'the file'}${gap}${why}`, { hint });
  }

  get line(): number {
    const start = (this.#at ?? this.#node)?.range?.[0] ?? 0;
    return this.#file.lines.linePos(start).line;
  }

  #at: Node | undefined;

  /** Told of the line of its key rather than of its own. */
  at(key: Node): this {
    this.#at = key;
    return this;
  }
}

class LineError extends UsageError {}

interface FileContext {
  readonly title: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly isAlias: (node: unknown) => node is Alias;
  readonly isMap: (node: unknown) => node is YAMLMap;
  readonly isSeq: (node: unknown) => node is { readonly items: unknown[] } & Node;
}

/** What of a mirror the command line adds. */
export interface SyncFileOptions {
  /** Where what a skopeo file lists goes. */
  readonly targets: readonly string[];
  /** Puts host and path of the source below the target, not the last part of its name. */
  readonly scoped: boolean;
  /** `scoped` was given for this file: refused where it is of no effect. Default: false. */
  readonly scopedByFlag?: boolean;
}

const RULE_KEYS = [
  ...['source', 'repositories', 'targets', 'target', 'tags', 'platforms', 'referrers'],
  ...['format', 'compression', 'delete-extra', 'max-delete', 'protect', 'hook', 'source-authfile', 'target-authfile'],
] as const;
const TAG_KEYS = [
  ...['only', 'allow', 'deny', 'allow-regex', 'deny-regex'],
  ...['semver', 'newest', 'newest-by', 'since'],
] as const;
/** More extra tags than this are not removed unless a limit is given. */
export const DEFAULT_MAX_DELETE = 10;

/**
 * Reads a sync file, in the form of docs/mirroring.md or in skopeo's (skopeo-sync(1)). Throws UsageError with the line.
 */
export async function readSyncFile(text: string, title: string, options: SyncFileOptions): Promise<SyncRule[]> {
  // Bundled, a CommonJS package has nothing but its default.
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
    throw new UsageError(`--scoped goes with a source and a target, or with a file of skopeo's`, {
      hint: `write whole targets into ${title}`,
    });
  }
  expectKeys(root, ['sync', 'version']);
  const rules: SyncRule[] = [];
  for (const item of own.items()) rules.push(await readRule(item));
  if (rules.length === 0) throw own.bad('lists nothing');
  return rules;
}

async function readRule(node: FileNode): Promise<SyncRule> {
  const members = expectKeys(node, RULE_KEYS);
  const need = (key: string): FileNode => {
    const member = members.get(key);
    if (member === undefined) throw node.bad(`has no ${key}`);
    return member;
  };
  const source = need('source').parsed(parseSyncSource);
  const listed = members.get('repositories')?.texts();
  if (listed !== undefined && source.repository !== undefined)
    throw members.get('repositories')!.bad('goes with a source that is a host alone', 'write source: HOST/');
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
  const members = expectKeys(node, TAG_KEYS);
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
    throw semver!.bad(`: ${(error as Error).message}`);
  }
  const by = members.get('newest-by');
  if (by !== undefined && by.value !== 'semver' && by.value !== 'created')
    throw by.bad('is neither semver nor created');
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

/** Compiles an expression of the user's. Throws UsageError. */
export function parseRegex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(
      `${JSON.stringify(text.slice(0, 100))} is not a regular expression: ${(error as Error).message}`,
    );
  }
}

/** The members, after a check that there are no others. Throws UsageError that names the line. */
export function expectKeys(node: FileNode, known: readonly string[]): Map<string, FileNode> {
  const members = node.members();
  for (const [key, member] of members) {
    if (known.includes(key)) continue;
    throw member.bad('is not known here', `known are: ${known.join(', ')}`);
  }
  return members;
}
