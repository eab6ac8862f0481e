import type { ImageRecord } from '../../metadata/index.js';
import { isDigest, type Descriptor, type Digest } from '../../spec/index.js';

/** A repository where a blob is known to be. */
export interface BlobPlace {
  readonly host: string;
  readonly repository: string;
}

/** Where blobs are known to be: in every repository that an image with them was pulled from or pushed to. */
export class BlobPlaces {
  readonly #places = new Map<Digest, Map<string, BlobPlace>>();

  constructor(images: readonly ImageRecord[]) {
    for (const { config, layers, sources } of images) {
      const places = sources.flatMap((source) => parseSource(source) ?? []);
      for (const { digest } of [config, ...layers]) {
        const known = this.#places.get(digest) ?? new Map<string, BlobPlace>();
        for (const place of places) known.set(`${place.host}/${place.repository}`, place);
        this.#places.set(digest, known);
      }
    }
  }

  /** All places of a blob. */
  of({ digest }: Pick<Descriptor, 'digest'>): BlobPlace[] {
    return [...(this.#places.get(digest)?.values() ?? [])];
  }

  /** Other repositories of the target's host that have the blob: at most `limit`. */
  mountable(blob: Pick<Descriptor, 'digest'>, target: BlobPlace, limit: number): string[] {
    return this.of(blob)
      .filter(({ host, repository }) => host === target.host && repository !== target.repository)
      .map(({ repository }) => repository)
      .slice(0, limit);
  }
}

/** Takes `host/repository@digest` of an image record apart. */
export function parseSource(source: string): BlobPlace | undefined {
  const [slash, at] = [source.indexOf('/'), source.lastIndexOf('@')];
  if (slash <= 0 || at < slash || !isDigest(source.slice(at + 1))) return undefined;
  return { host: source.slice(0, slash), repository: source.slice(slash + 1, at) };
}
