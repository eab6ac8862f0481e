import type { Digest } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import type { RegistryStorage } from '../types.js';
import { readV2Image, v1IdsOf } from './v2-image.js';

/** The location of a v2 image. */
export interface Place {
  readonly repository: string;
  /** The manifest of one platform. */
  readonly manifest: Digest;
  /** The v1 ID of its top layer. */
  readonly top: string;
}

/** `isGone`: its manifest no longer exists. */
interface Found extends Place {
  readonly key: string;
  isGone: boolean;
}

/** The most IDs held in memory, about 200 bytes each. Further ones are searched in the storage each time. */
const MAX_IDS = 250_000;
/** The most images recorded for one layer. */
const MAX_SAME = 4;
/** The most tags recorded since the last lookup. */
const MAX_PENDING = 1000;
/** Manifests read concurrently. */
const PARALLEL_READS = 8;

/**
 * Finds the v2 image with a layer that has a given v1 ID. Reads all tags once, on the first lookup; the storage then
 * reports each new tag. If it cannot, because others may write to it, only changed repositories are read again.
 */
export class ImageIndex {
  readonly #storage: RegistryStorage;
  readonly #maxIds: number;
  /** The images with a layer of each ID, at most MAX_SAME. */
  #ids = new Map<string, Found[]>();
  /** Number of entries in `#ids`. */
  #size = 0;
  /** The image of each manifest read so far, by repository and digest. */
  #known = new Map<string, Place | 'no image'>();
  /** Versions of the repositories read so far. */
  #versions = new Map<string, string>();
  #pending: { readonly repository: string; readonly digest: Digest }[] = [];
  /** All tags must be read. */
  #stale = true;
  /** The recorded facts must be dropped first. */
  #outgrown = false;
  #tooLarge = false;
  /** Number of tags whose image could not be read so far. */
  #missed = 0;
  #updating: Promise<void> | undefined;

  constructor(storage: RegistryStorage, { maxIds = MAX_IDS }: { readonly maxIds?: number } = {}) {
    this.#storage = storage;
    this.#maxIds = maxIds;
    storage.onTag?.((repository, manifest) => {
      // Reads nothing if no lookup has taken place yet.
      if (this.#stale || this.#tooLarge) return;
      this.#pending.push({ repository, digest: manifest.descriptor.digest });
      if (this.#pending.length > MAX_PENDING) this.#stale = true;
    });
  }

  /** Yields images that may have a layer with this ID; none when there is no such image. */
  async *find(id: string): AsyncGenerator<Place> {
    await this.#update();
    const places = this.#ids.get(id) ?? [];
    let alive = 0;
    for (const place of places) {
      if (place.isGone) continue;
      if (await this.#storage.hasManifest(place.repository, place.manifest)) {
        alive += 1;
        yield place;
      } else {
        place.isGone = true;
        this.#known.delete(place.key);
      }
    }
    if (this.#tooLarge) yield* this.#search(id);
    else if (alive === 0 && places.length === MAX_SAME) {
      // There may be more images than recorded.
      this.#stale = this.#outgrown = true;
      yield* this.find(id);
    }
  }

  /** The location of a manifest's image; undefined when it is not an image. */
  async placeOf(repository: string, digest: Digest): Promise<Place | undefined> {
    const key = `${repository}@${digest}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known === 'no image' ? undefined : known;
    const image = await readV2Image(this.#storage, repository, digest);
    // Missing parts may be pushed later.
    if (image === undefined) {
      this.#missed += 1;
      return undefined;
    }
    if (image === 'no image') {
      this.#known.set(key, image);
      return undefined;
    }
    const ids = v1IdsOf(image);
    const place: Found = { repository, manifest: image.digest, top: ids.at(-1)!, key, isGone: false };
    // A concurrent request may have read it meanwhile.
    if (this.#tooLarge || this.#known.has(key)) return place;
    if (this.#size + ids.length > this.#maxIds) {
      if (this.#updating === undefined) this.#stale = this.#outgrown = true;
      else this.#tooLarge = true;
      return place;
    }
    this.#known.set(key, place);
    for (const id of ids) this.#add(id, place);
    return place;
  }

  #add(id: string, place: Found): void {
    const places = this.#ids.get(id) ?? [];
    if (places.length === MAX_SAME) return;
    places.push(place);
    this.#ids.set(id, places);
    this.#size += 1;
  }

  #update(): Promise<void> {
    return (this.#updating ??= this.#bringUpToDate().finally(() => (this.#updating = undefined)));
  }

  async #bringUpToDate(): Promise<void> {
    while (this.#stale) {
      if (this.#outgrown) {
        this.#ids = new Map();
        this.#size = 0;
        this.#known = new Map();
      }
      this.#versions = new Map();
      this.#pending = [];
      this.#outgrown = this.#tooLarge = this.#stale = false;
      try {
        await this.#readChanged();
      } catch (error) {
        this.#stale = true;
        throw error;
      }
    }
    if (this.#storage.onTag === undefined && !this.#tooLarge) await this.#readChanged();
    for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift())
      await this.placeOf(next.repository, next.digest);
  }

  async #readChanged(): Promise<void> {
    for (const repository of await this.#storage.repositories()) {
      // Read before the tags, so that a tag set meanwhile changes the version.
      const version = await this.#storage.tagsVersion?.(repository);
      if (version !== undefined && version === this.#versions.get(repository)) continue;
      const before = this.#missed;
      await this.#eachTagged(repository, (digest) => this.placeOf(repository, digest));
      if (version !== undefined && this.#missed === before) this.#versions.set(repository, version);
    }
  }

  /** Visits each manifest once, however many tags it has. */
  async #eachTagged(repository: string, work: (digest: Digest) => Promise<unknown>): Promise<void> {
    const digests = await tagDigests(this.#storage, repository, (await this.#storage.tags(repository)) ?? []);
    const distinct = new Set(digests.filter((digest) => digest !== undefined));
    if (digests.includes(undefined)) this.#missed += 1;
    await mapLimited([...distinct], PARALLEL_READS, work);
  }

  /** Searches the whole storage. */
  async *#search(id: string): AsyncGenerator<Place> {
    for (const repository of await this.#storage.repositories()) {
      const found: Place[] = [];
      await this.#eachTagged(repository, async (digest) => {
        const image = await readV2Image(this.#storage, repository, digest);
        if (image === undefined || image === 'no image') return;
        const ids = v1IdsOf(image);
        if (ids.includes(id)) found.push({ repository, manifest: image.digest, top: ids.at(-1)! });
      });
      yield* found;
    }
  }
}

/** The digests of `tags`, in the same order; undefined for a tag that was deleted. */
export function tagDigests(
  storage: Pick<RegistryStorage, 'tagDigest'>,
  repository: string,
  tags: readonly string[],
): Promise<(Digest | undefined)[]> {
  return mapLimited(tags, PARALLEL_READS, (tag) => storage.tagDigest(repository, tag));
}
