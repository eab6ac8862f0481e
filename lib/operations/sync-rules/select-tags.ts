import { UsageError } from '../../errors.js';
import type SemverModule from 'semver';
import type { TagRules } from './sync-rule.js';

type Semver = Pick<typeof SemverModule, 'validRange' | 'satisfies' | 'rcompare' | 'valid'>;

/** Tags that cosign and clients of old registries use for attached artifacts. */
const ATTACHED_TAG = /^sha(256|512)-[0-9a-f]{64}/;

/** Reports whether a tag is an image's attachment (signatures, referrers) instead of a user's tag. */
export function isAttachedTag(tag: string): boolean {
  return ATTACHED_TAG.test(tag);
}

/** Converts a glob (`*`, `?`) to a regular expression for whole tags. */
function globRegex(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^(?:${source})$`);
}

/** Reports whether any glob matches. */
export function matchesAny(globs: readonly string[], tag: string): boolean {
  return globs.some((glob) => globRegex(glob).test(tag));
}

/** Throws UsageError for an invalid range. */
export async function checkRanges(ranges: readonly string[]): Promise<void> {
  const semver = await loadSemver();
  for (const range of ranges) {
    if (semver.validRange(range) === null) {
      throw new UsageError(`${JSON.stringify(range.slice(0, 100))} is not a version range`, {
        hint: 'write ranges as npm does: ^3.18, >=1.2 <2, 1.x',
      });
    }
  }
}

/** The tags that match by name and version; applies `newest` by version, but not age and creation date. */
export async function selectByName(tags: readonly string[], rules: TagRules): Promise<string[]> {
  const allow = rules.allow.map(globRegex);
  const deny = rules.deny.map(globRegex);
  const named = tags.filter(
    (tag) =>
      (allow.length === 0 || allow.some((glob) => glob.test(tag))) &&
      !deny.some((glob) => glob.test(tag)) &&
      (rules.allowRegex.length === 0 || rules.allowRegex.some((regex) => regex.test(tag))) &&
      !rules.denyRegex.some((regex) => regex.test(tag)),
  );
  const byVersion = rules.newest !== undefined && rules.newestBy === 'semver';
  if (rules.semver.length === 0 && !byVersion) return named;
  const semver = await loadSemver();
  const versions = named.flatMap((tag) => {
    const version = versionOf(semver, tag);
    if (version === undefined) return [];
    const fits = rules.semver.length === 0 || rules.semver.some((range) => semver.satisfies(version, range));
    return fits ? [{ tag, version }] : [];
  });
  if (!byVersion) return versions.map(({ tag }) => tag);
  versions.sort((a, b) => semver.rcompare(a.version, b.version) || (a.tag < b.tag ? -1 : 1));
  return versions.slice(0, rules.newest).map(({ tag }) => tag);
}

/** Sorts tags by version, newest first, then other tags by name. */
export async function sortByVersion(tags: readonly string[]): Promise<string[]> {
  const semver = await loadSemver();
  const versions = new Map(tags.map((tag) => [tag, versionOf(semver, tag)]));
  const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return tags.toSorted((a, b) => {
    const [one, other] = [versions.get(a), versions.get(b)];
    if (one === undefined || other === undefined)
      return Number(one === undefined) - Number(other === undefined) || byName(a, b);
    return semver.rcompare(one, other) || byName(a, b);
  });
}

/** Versions may have a `v` and lack parts: `v1.2.3`, `3.20`, `8`. */
function versionOf(semver: Semver, tag: string): string | undefined {
  const match = /^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?((?:-[0-9A-Za-z.-]+)?)$/.exec(tag);
  if (match === null) return undefined;
  const [, major, minor = '0', patch = '0', rest = ''] = match;
  const text = `${Number(major)}.${Number(minor)}.${Number(patch)}${rest}`;
  return semver.valid(text, { loose: true }) ?? undefined;
}

async function loadSemver(): Promise<Semver> {
  return (await import('semver')).default;
}
