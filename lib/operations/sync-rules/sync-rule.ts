import { InvalidReferenceError } from '../../errors.js';
import { isRepositoryName, parseReference, type Platform } from '../../spec/index.js';
import type { Conversion } from '../convert/index.js';
import type { RegistryAccess } from '../registry/index.js';

/** Selects tags of a repository. All given rules must match; deny overrides allow. */
export interface TagRules {
  /** Exactly these tags; the repository's tags are then not listed. */
  readonly exact?: readonly string[] | undefined;
  /** A missing tag of `exact` is not a failure. */
  readonly mayBeGone?: boolean | undefined;
  /** Globs: `*` matches any characters, `?` one. Empty: all tags. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  /** Matches anywhere in the tag. */
  readonly allowRegex: readonly RegExp[];
  readonly denyRegex: readonly RegExp[];
  /** Ranges in npm's semver syntax; one must match. */
  readonly semver: readonly string[];
  /** Keeps this many of the newest matches. */
  readonly newest?: number | undefined;
  readonly newestBy: 'semver' | 'created';
  /** Maximum age since creation in ms. */
  readonly sinceMs?: number | undefined;
}

/** A mirror target: one repository, or a registry (or a path at one) where repositories keep their names. */
export interface SyncTarget {
  readonly host: string;
  /** The repository itself. */
  readonly repository?: string | undefined;
  /** Path prefix of names; '' for none. */
  readonly prefix: string;
  /** Part of the source's name to append to `prefix`: the path, its last part, or host and path. */
  readonly keep: 'path' | 'base' | 'host';
}

/** Rules for removing tags from targets. */
export interface DeletionRules {
  /** Removes nothing from a repository with more extra tags than this. */
  readonly maxDelete: number;
  /** Globs of tags that are never removed. */
  readonly protect: readonly string[];
}

/** One mirror: repositories of a registry, the selection of tags, and the targets. */
export interface SyncRule {
  /** Host of the source. */
  readonly host: string;
  /** The source uses protocol v1. Default: false. */
  readonly isV1?: boolean | undefined;
  /** Undefined: the whole catalog of the registry. */
  readonly repositories: readonly string[] | undefined;
  readonly targets: readonly SyncTarget[];
  /** Access to the source; undefined: the usual settings. */
  readonly sourceAccess?: RegistryAccess | undefined;
  /** Access to the targets. */
  readonly targetAccess?: RegistryAccess | undefined;
  readonly tags: TagRules;
  /** Platforms to keep in indexes; empty: all. */
  readonly platforms: readonly Platform[];
  readonly referrers: boolean;
  /** Undefined: no conversion. */
  readonly conversion?: Conversion | undefined;
  /** Undefined: no removals. */
  readonly deleteExtra: DeletionRules | undefined;
  /** Program and arguments to run for each changed tag; `{source}`, `{target}`, `{tag}` and `{digest}` are substituted. */
  readonly hook: readonly string[];
}

/** Rules that match all tags. */
export const ALL_TAGS: TagRules = {
  allow: [],
  deny: [],
  allowRegex: [],
  denyRegex: [],
  semver: [],
  newestBy: 'semver',
};

const V1_SCHEME = 'docker-v1://';

/**
 * Parses a mirror's source: `[docker-v1://]HOST/REPOSITORY[:TAG]`, or for the whole registry `HOST/` (also `HOST` with
 * a dot or a port). Throws InvalidReferenceError.
 */
export function parseSyncSource(input: string): {
  readonly host: string;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly isV1: boolean;
} {
  const isV1 = input.startsWith(V1_SCHEME);
  const text = isV1 ? input.slice(V1_SCHEME.length) : withoutScheme(input);
  const host = hostAlone(text);
  if (host !== undefined) return { host, repository: undefined, tag: undefined, isV1 };
  const reference = parseReference(text);
  if (reference.digest !== undefined) {
    throw new InvalidReferenceError(`${JSON.stringify(input)} names one manifest, which never changes`, {
      input,
      hint: 'use imgtool copy',
    });
  }
  const given = text.endsWith(`:${reference.tag}`);
  return { host: reference.host, repository: reference.repository, tag: given ? reference.tag : undefined, isV1 };
}

/** Parses a target: `HOST/REPOSITORY`, `HOST`, or, for whole registries, `HOST/PREFIX`. Throws InvalidReferenceError. */
export function parseSyncTarget(input: string, source: 'repository' | 'registry' | 'list'): SyncTarget {
  const text = withoutScheme(input);
  if (text.startsWith(V1_SCHEME)) {
    throw new InvalidReferenceError(`${JSON.stringify(input)}: nothing is mirrored to protocol v1`, {
      input,
      hint: 'use imgtool copy for it',
    });
  }
  const keep = source === 'list' ? 'base' : 'path';
  const host = hostAlone(text);
  if (host !== undefined) return { host, prefix: '', keep };
  const path = text.replace(/\/+$/, '');
  const parsed = parseReference(path);
  if (parsed.digest !== undefined || path.endsWith(`:${parsed.tag}`)) {
    throw new InvalidReferenceError(`${JSON.stringify(input)} names one image, not a place to mirror to`, {
      input,
      hint: 'leave out the tag and the digest',
    });
  }
  if (source === 'repository') return { host: parsed.host, repository: parsed.repository, prefix: '', keep };
  return { host: parsed.host, prefix: parsed.repository, keep };
}

/** The target repository for a source repository. Throws InvalidReferenceError. */
export function placeOf(
  target: SyncTarget,
  source: { readonly host: string; readonly repository: string },
): { readonly host: string; readonly repository: string } {
  if (target.repository !== undefined) return { host: target.host, repository: target.repository };
  const { repository } = source;
  const name =
    target.keep === 'path'
      ? repository
      : target.keep === 'base'
        ? repository.slice(repository.lastIndexOf('/') + 1)
        : `${source.host.replace(/:/g, '-').toLowerCase()}/${repository}`;
  const path = target.prefix === '' ? name : `${target.prefix}/${name}`;
  if (isRepositoryName(path)) return { host: target.host, repository: path };
  throw new InvalidReferenceError(`${JSON.stringify(path)} cannot be the name of a repository`, { input: path });
}

function withoutScheme(input: string): string {
  return input.startsWith('docker://') ? input.slice('docker://'.length) : input;
}

/** `HOST/`, or text without a slash that can only be a host. */
function hostAlone(text: string): string | undefined {
  const host =
    /^([^/]+)\/$/.exec(text)?.[1] ??
    (/^(?:localhost|[^/:]+\.[^/:]+|\[[^\]/]+\])(?::\d+)?$/.test(text) ? text : undefined);
  if (host === undefined) return undefined;
  // Hosts have the grammar of references.
  return parseReference(`${host}/x`).host === host ? host : undefined;
}
