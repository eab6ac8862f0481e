import type { ImageRecord } from '../../metadata/index.js';
import { isDigest, type Descriptor, type Digest, type RepositoryName } from '../../spec/index.js';

/** When the limit is reached, all entries are forgotten, and registries are queried again. */
const MAX_ENTRIES = 200_000;

/** Records which repositories have which blobs, according to image records and to this process. */
export class BlobPlaces {
  /** By digest, then by `host/repository`. */
  readonly #places = new Map<Digest, Map<string, RepositoryName>>();
  #entries = 0;

  /** Starts with the repositories that `images` were pulled from or pushed to. */
  constructor(images: readonly ImageRecord[] = []) {
    for (const { config, layers, sources } of images) {
      const places = sources.flatMap((source) => parseSource(source) ?? []);
      for (const blob of [config, ...layers]) for (const place of places) this.add(place, blob);
    }
  }

  /** Records that a repository has the blob. */
  add({ host, repository }: RepositoryName, { digest }: Pick<Descriptor, 'digest'>): void {
    if (this.#entries >= MAX_ENTRIES) this.#clear();
    const places = this.#places.get(digest) ?? new Map<string, RepositoryName>();
    this.#places.set(digest, places);
    const name = nameOf({ host, repository });
    if (!places.has(name)) this.#entries++;
    places.set(name, { host, repository });
  }

  /** True when the repository is known to have the blob. */
  has(place: RepositoryName, { digest }: Pick<Descriptor, 'digest'>): boolean {
    return this.#places.get(digest)?.has(nameOf(place)) === true;
  }

  /** All known places of a blob. */
  of({ digest }: Pick<Descriptor, 'digest'>): RepositoryName[] {
    return [...(this.#places.get(digest)?.values() ?? [])];
  }

  /** Up to `limit` other repositories of the host that have the blob. */
  others({ host, repository }: RepositoryName, { digest }: Pick<Descriptor, 'digest'>, limit: number): string[] {
    const others: string[] = [];
    for (const place of this.#places.get(digest)?.values() ?? []) {
      if (others.length === limit) break;
      if (place.host === host && place.repository !== repository) others.push(place.repository);
    }
    return others;
  }

  #clear(): void {
    this.#places.clear();
    this.#entries = 0;
  }
}

/** Parses `host/repository@digest` from an image record. */
export function parseSource(source: string): RepositoryName | undefined {
  const [slash, at] = [source.indexOf('/'), source.lastIndexOf('@')];
  if (slash <= 0 || at < slash || !isDigest(source.slice(at + 1))) return undefined;
  return { host: source.slice(0, slash), repository: source.slice(slash + 1, at) };
}

function nameOf({ host, repository }: RepositoryName): string {
  return `${host}/${repository}`;
}
