import { isAttachedTag, selectByName } from '../sync-rules/index.js';
import type { Mirror } from './mirror.js';
import type { FoundTag } from './sync-source.js';

/** The tags to mirror. */
export interface ChosenTags {
  readonly tags: readonly string[];
  /** Tags of the source without a known age, if the rule requires one. */
  readonly undated: ReadonlySet<string>;
}

/** Chooses the tags of the source according to its rule. Throws the errors of the source. */
export async function chooseTags(mirror: Mirror): Promise<ChosenTags> {
  const { run, rule, source } = mirror;
  const { tags: rules } = rule;
  const { signal } = run;
  const undated = new Set<string>();
  if (rules.exact !== undefined) return { tags: [...new Set(rules.exact)], undated };
  const listed = await source.tags({ signal });
  mirror.listed = new Set(listed);
  const own = listed.filter((tag) => !isAttachedTag(tag));
  const named = await selectByName(own, rules);
  const byCreation = rules.newest !== undefined && rules.newestBy === 'created';
  if (!byCreation && rules.sinceMs === undefined) return { tags: named, undated };
  const dated: { tag: string; created: number }[] = [];
  await run.askEach(named, async (tag) => {
    const found = await source.find(tag, { signal });
    if (found === undefined) {
      undated.add(tag);
      return mirror.vanished(tag);
    }
    const created = await createdOf(mirror, tag, found);
    if (created === undefined) undated.add(tag);
    dated.push({ tag, created: created ?? -Infinity });
  });
  const unknown = dated.filter(({ created }) => created === -Infinity).map(({ tag }) => tag);
  if (unknown.length > 0) run.deps.progress.note(undatedNote(mirror.name, unknown));
  const oldest = rules.sinceMs === undefined ? -Infinity : Date.now() - rules.sinceMs;
  const young = dated.filter(({ created }) => created >= oldest);
  young.sort((a, b) => b.created - a.created || (a.tag < b.tag ? -1 : 1));
  return { tags: (byCreation ? young.slice(0, rules.newest) : young).map(({ tag }) => tag), undated };
}

async function createdOf({ run, source }: Mirror, tag: string, found: FoundTag): Promise<number | undefined> {
  const { memory } = run.deps;
  const { signal } = run;
  const keyOf = ({ identity }: FoundTag): string => `created ${identity}`;
  const kept = Number(memory.get(keyOf(found)) ?? NaN);
  if (!Number.isNaN(kept)) return kept;
  const read = await source.read(tag, found, { signal });
  const created = await source.created(read, { signal });
  if (created !== undefined) memory.set(keyOf(read), String(created));
  return created;
}

/** The note names only some, because there may be thousands. */
function undatedNote(source: string, tags: readonly string[]): string {
  const named = tags.slice(0, 5).sort().join(', ') + (tags.length > 5 ? ` and ${tags.length - 5} more` : '');
  const verb = tags.length === 1 ? 'has no creation date: it counts' : 'have no creation date: they count';
  return `warning: ${named} of ${source} ${verb} as the oldest and will not be deleted from targets`;
}
