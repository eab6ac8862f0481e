import { InvalidReferenceError } from '../../errors.js';
import { isRepositoryName, parseReference, type Platform } from '../../spec/index.js';
import type { Conversion } from '../convert/index.js';
import type { RegistryAccess } from '../registry/index.js';

/** Which tags of a repository are wanted. All that is given must hold; deny wins over allow. */
export interface TagRules {
  /** Exactly these; then the repository is not asked for its tags. */
  readonly exact?: readonly string[] | undefined;
  /** That one of `exact` is not there is no failure. */
  readonly mayBeGone?: boolean | undefined;
  /** Globs: `*` any characters, `?` one. None: all. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  /** Matched anywhere in the tag. */
  readonly allowRegex: readonly RegExp[];
  readonly denyRegex: readonly RegExp[];
  /** Ranges of npm's semver; one of them must hold. */
  readonly semver: readonly string[];
  /** Of those left, this many of the newest. */
  readonly newest?: number | undefined;
  readonly newestBy: 'semver' | 'created';
  /** Created no longer ago. Milliseconds. */
  readonly sinceMs?: number | undefined;
}

/** A place to mirror to: one repository, or a registry (below a path) where repositories keep their names. */
export interface SyncTarget {
  readonly host: string;
  /** The repository itself. */
  readonly repository?: string | undefined;
  /** Path that names are put below; '' for none. */
  readonly prefix: string;
  /** What of the source's name is kept below `prefix`: the path, its last part, or host and path. */
  readonly keep: 'path' | 'base' | 'host';
}

/** What is removed at targets. */
export interface DeletionRules {
  /** More extra tags than this in one repository, and nothing is removed there. */
  readonly maxDelete: number;
  /** Globs of tags that always stay. */
  readonly protect: readonly string[];
}

/** One mirror: repositories of a registry, what of them, where to. */
export interface SyncRule {
  /** Host of the source. */
  readonly host: string;
  /** The source speaks protocol v1. Default: false. */
  readonly isV1?: boolean | undefined;
  /** Undefined: all that the registry's catalog lists. */
  readonly repositories: readonly string[] | undefined;
  readonly targets: readonly SyncTarget[];
  /** How the source is reached; undefined: as everything. */
  readonly sourceAccess?: RegistryAccess | undefined;
  /** How the targets are reached. */
  readonly targetAccess?: RegistryAccess | undefined;
  readonly tags: TagRules;
  /** Of indexes, only these; none: all. */
  readonly platforms: readonly Platform[];
  readonly referrers: boolean;
  /** Undefined: everything stays as it is. */
  readonly conversion?: Conversion | undefined;
  /** Undefined: nothing is removed. */
  readonly deleteExtra: DeletionRules | undefined;
  /** Program and arguments run for each changed tag; `{source}`, `{target}`, `{tag}` and `{digest}` are filled in. */
  readonly hook: readonly string[];
}

/** Rules that let all tags through. */
export const ALL_TAGS: TagRules = {
  allow: [],
  deny: [],
  allowRegex: [],
  denyRegex: [],
  semver: [],
  newestBy: 'semver',
};

const V1_SCHEME = 'docker-v1://';

/** The source of a mirror as people write it: `[docker-v1://]HOST/REPOSITORY[:TAG]`, or `HOST/` (also `HOST` with a dot or a port) for all of it. Throws InvalidReferenceError. */
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

/** A target as people write it: `HOST/REPOSITORY`, `HOST`, or for whole registries `HOST/PREFIX`. Throws InvalidReferenceError. */
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

/** Where a repository of the source goes. Throws InvalidReferenceError. */
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

/** `HOST/`, or what without a slash can only be a host. */
function hostAlone(text: string): string | undefined {
  const host =
    /^([^/]+)\/$/.exec(text)?.[1] ??
    (/^(?:localhost|[^/:]+\.[^/:]+|\[[^\]/]+\])(?::\d+)?$/.test(text) ? text : undefined);
  if (host === undefined) return undefined;
  // The grammar of hosts is that of references.
  return parseReference(`${host}/x`).host === host ? host : undefined;
}
