import type { ImageRecord } from '../../metadata/index.js';
import { isDigest } from '../../spec/index.js';

/** A name or a source of an image record, taken apart. */
interface Place {
  readonly host: string;
  readonly repository: string;
  /** Absent for what is known by digest only. */
  readonly tag?: string;
}

const HUB = 'docker.io';

/**
 * The repositories that images of the store are served as: their path without the host, as a mirror of that host has them.
 * Where several hosts have that path, also with the host before it.
 */
export function repositoriesOf(images: readonly ImageRecord[]): string[] {
  const hosts = new Map<string, Set<string>>();
  for (const { host, repository } of images.flatMap(placesOf))
    hosts.set(repository, (hosts.get(repository) ?? new Set()).add(host));
  const full = [...hosts].flatMap(([repository, of]) =>
    of.size < 2 ? [] : [...of].flatMap((host) => fullName({ host, repository }) ?? []),
  );
  return [...new Set([...hosts.keys(), ...full])].sort();
}

/** Images that have a name or a source in the repository as it is served. */
export function withRepository(images: readonly ImageRecord[], repository: string): ImageRecord[] {
  return images.filter((image) => placesOf(image).some((place) => precedence(place, repository) !== undefined));
}

/** What the tags of the repository lead to. Of several hosts: the one that was named, Docker Hub, then by name. */
export function tagsOf(images: readonly ImageRecord[], repository: string): Map<string, ImageRecord> {
  const found = new Map<string, { readonly rank: string; readonly image: ImageRecord }>();
  for (const image of images) {
    for (const place of placesOf(image)) {
      const rank = precedence(place, repository);
      if (rank === undefined || place.tag === undefined) continue;
      const known = found.get(place.tag);
      // A name that is moving is on both images for a moment: the newer one has it.
      const better =
        known === undefined || rank < known.rank || (rank === known.rank && image.pulled > known.image.pulled);
      if (better) found.set(place.tag, { rank, image });
    }
  }
  return new Map([...found].map(([tag, { image }]) => [tag, image]));
}

function placesOf({ names, sources }: ImageRecord): Place[] {
  return [...names, ...sources].flatMap((text) => {
    const slash = text.indexOf('/');
    if (slash <= 0) return [];
    const host = text.slice(0, slash);
    const at = text.lastIndexOf('@');
    if (at > slash) return isDigest(text.slice(at + 1)) ? [{ host, repository: text.slice(slash + 1, at) }] : [];
    const colon = text.lastIndexOf(':');
    if (colon < slash) return [];
    return [{ host, repository: text.slice(slash + 1, colon), tag: text.slice(colon + 1) }];
  });
}

/** Sorts the better place first; undefined when `repository` does not mean it. */
function precedence(place: Place, repository: string): string | undefined {
  if (fullName(place) === repository) return '0';
  if (place.repository !== repository) return undefined;
  return place.host === HUB ? '1' : `2 ${place.host}`;
}

/** The host as the first part of a repository name, its port after `_`; undefined where the grammar has no room for it. */
function fullName({ host, repository }: Pick<Place, 'host' | 'repository'>): string | undefined {
  const part = host.toLowerCase().replace(/:(\d+)$/, '_$1');
  return /^[a-z0-9]+(?:(?:[._]|-+)[a-z0-9]+)*$/.test(part) ? `${part}/${repository}` : undefined;
}
