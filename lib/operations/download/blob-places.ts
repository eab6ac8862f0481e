import type { ImageRecord } from '../../metadata/index.js';
import { isDigest, type Descriptor, type Digest, type RepositoryName } from '../../spec/index.js';

/** Forgets everything beyond this: then a registry is asked again. */
const MAX_ENTRIES = 200_000;

/** Which repositories have which blobs, as far as the records of images tell and this process has seen. */
export class BlobPlaces {
  /** Places by digest, then by name. */
  readonly #places = new Map<Digest, Map<string, RepositoryName>>();
  #entries = 0;

  /** Begins with every repository that one of `images` was pulled from or pushed to. */
  constructor(images: readonly ImageRecord[] = []) {
    for (const { config, layers, sources } of images) {
      const places = sources.flatMap((source) => parseSource(source) ?? []);
      for (const blob of [config, ...layers]) for (const place of places) this.add(place, blob);
    }
  }

  /** A repository has the blob. */
  add({ host, repository }: RepositoryName, { digest }: Pick<Descriptor, 'digest'>): void {
    if (this.#entries >= MAX_ENTRIES) this.#clear();
    const places = this.#places.get(digest) ?? new Map<string, RepositoryName>();
    this.#places.set(digest, places);
    const name = nameOf({ host, repository });
    if (!places.has(name)) this.#entries++;
    places.set(name, { host, repository });
  }

  /** Whether the repository is known to have the blob. */
  has(place: RepositoryName, { digest }: Pick<Descriptor, 'digest'>): boolean {
    return this.#places.get(digest)?.has(nameOf(place)) === true;
  }

  /** All places of a blob. */
  of({ digest }: Pick<Descriptor, 'digest'>): RepositoryName[] {
    return [...(this.#places.get(digest)?.values() ?? [])];
  }

  /** Other repositories of the host that have the blob, at most `limit`. */
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

/** Takes `host/repository@digest` of an image record apart. */
export function parseSource(source: string): RepositoryName | undefined {
  const [slash, at] = [source.indexOf('/'), source.lastIndexOf('@')];
  if (slash <= 0 || at < slash || !isDigest(source.slice(at + 1))) return undefined;
  return { host: source.slice(0, slash), repository: source.slice(slash + 1, at) };
}

function nameOf({ host, repository }: RepositoryName): string {
  return `${host}/${repository}`;
}
