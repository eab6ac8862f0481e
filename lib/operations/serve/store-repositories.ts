import type { ImageRecord } from '../../metadata/index.js';
import { isDigest } from '../../spec/index.js';

/** A parsed name or source of an image record. */
interface Place {
  readonly host: string;
  readonly repository: string;
  /** Absent for a digest-only source. */
  readonly tag?: string;
}

const HUB = 'docker.io';

/**
 * The repositories under which images of the store are served: their path without the host, as at a mirror of that
 * host. If several hosts have that path, also with the host in front.
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

/** Images with a name or source in the served repository. */
export function withRepository(images: readonly ImageRecord[], repository: string): ImageRecord[] {
  return images.filter((image) => placesOf(image).some((place) => precedence(place, repository) !== undefined));
}

/** The images of the repository's tags. Precedence among several hosts: the one given, Docker Hub, then by name. */
export function tagsOf(images: readonly ImageRecord[], repository: string): Map<string, ImageRecord> {
  const found = new Map<string, { readonly rank: string; readonly image: ImageRecord }>();
  for (const image of images) {
    for (const place of placesOf(image)) {
      const rank = precedence(place, repository);
      if (rank === undefined || place.tag === undefined) continue;
      const known = found.get(place.tag);
      // While a name is moving, both images have it; the newer one wins.
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

/** Sort key of a place, lowest first; undefined if `repository` does not refer to it. */
function precedence(place: Place, repository: string): string | undefined {
  if (fullName(place) === repository) return '0';
  if (place.repository !== repository) return undefined;
  return place.host === HUB ? '1' : `2 ${place.host}`;
}

/** The host as the first part of a repository name, with its port after `_`; undefined if the grammar does not allow it. */
function fullName({ host, repository }: Pick<Place, 'host' | 'repository'>): string | undefined {
  const part = host.toLowerCase().replace(/:(\d+)$/, '_$1');
  return /^[a-z0-9]+(?:(?:[._]|-+)[a-z0-9]+)*$/.test(part) ? `${part}/${repository}` : undefined;
}
