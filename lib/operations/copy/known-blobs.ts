import type { Digest } from '../../spec/index.js';

/** More than this is forgotten as a whole: then a registry is asked again. */
const MAX_ENTRIES = 200_000;

/** Which repositories have which blobs, as far as this process has seen: what was asked once is not asked again. */
export class KnownBlobs {
  /** Repositories by host and digest. */
  readonly #places = new Map<string, Set<string>>();
  #entries = 0;

  /** A repository has the blob. */
  add(host: string, repository: string, digest: Digest): void {
    if (this.#entries >= MAX_ENTRIES) this.clear();
    const key = `${host} ${digest}`;
    const places = this.#places.get(key) ?? new Set();
    this.#places.set(key, places);
    if (!places.has(repository)) this.#entries++;
    places.add(repository);
  }

  /** Whether the repository is known to have the blob. */
  has(host: string, repository: string, digest: Digest): boolean {
    return this.#places.get(`${host} ${digest}`)?.has(repository) === true;
  }

  /** Other repositories of the host that have the blob, at most `limit`. */
  others(host: string, repository: string, digest: Digest, limit: number): string[] {
    const places = this.#places.get(`${host} ${digest}`) ?? [];
    const others: string[] = [];
    for (const place of places) {
      if (others.length === limit) break;
      if (place !== repository) others.push(place);
    }
    return others;
  }

  /** Forgets everything. */
  clear(): void {
    this.#places.clear();
    this.#entries = 0;
  }
}
