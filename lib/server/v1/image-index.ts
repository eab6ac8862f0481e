import type { Digest } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import type { RegistryStorage } from '../types.js';
import { readV2Image, v1IdsOf } from './v2-image.js';

/** Where a v2 image is. */
export interface Place {
  readonly repository: string;
  /** Of one platform. */
  readonly manifest: Digest;
  /** The ID of its top over v1. */
  readonly top: string;
}

/** `isGone`: its manifest is not there any more. */
interface Found extends Place {
  readonly key: string;
  isGone: boolean;
}

/** IDs that are held in memory, about 200 bytes each. More are searched for in the storage, each time. */
const MAX_IDS = 250_000;
/** Images that are remembered of those with one and the same layer. */
const MAX_SAME = 4;
/** Tags that were set since the last look-up. */
const MAX_PENDING = 1000;
/** Manifests read at the same time. */
const PARALLEL_READS = 8;

/**
 * Which v2 image has a layer that v1 calls by some ID. All tags are read once, when first an ID is asked for; then
 * the storage tells of each new one. Where it cannot, as others may write to it, only the repositories that have changed are
 * read again.
 */
export class ImageIndex {
  readonly #storage: RegistryStorage;
  readonly #maxIds: number;
  /** The images that have a layer of an ID, at most MAX_SAME of them. */
  #ids = new Map<string, Found[]>();
  /** Entries of `#ids`. */
  #size = 0;
  /** What each manifest that was read is, by repository and digest. */
  #known = new Map<string, Place | 'no image'>();
  /** Of repositories that were read. */
  #versions = new Map<string, string>();
  #pending: { readonly repository: string; readonly digest: Digest }[] = [];
  /** All tags are to be read. */
  #stale = true;
  /** What is known is to be forgotten before that. */
  #outgrown = false;
  #tooLarge = false;
  /** Tags whose image could not be read so far. */
  #missed = 0;
  #updating: Promise<void> | undefined;

  constructor(storage: RegistryStorage, { maxIds = MAX_IDS }: { readonly maxIds?: number } = {}) {
    this.#storage = storage;
    this.#maxIds = maxIds;
    storage.onTag?.((repository, manifest) => {
      // Who never asks is not read for.
      if (this.#stale || this.#tooLarge) return;
      this.#pending.push({ repository, digest: manifest.descriptor.digest });
      if (this.#pending.length > MAX_PENDING) this.#stale = true;
    });
  }

  /** Images that may have a layer of this ID; when nothing comes there is none. */
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
      // There may be more than those that were remembered.
      this.#stale = this.#outgrown = true;
      yield* this.find(id);
    }
  }

  /** Where the image of a manifest is; undefined when it is none. */
  async placeOf(repository: string, digest: Digest): Promise<Place | undefined> {
    const key = `${repository}@${digest}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known === 'no image' ? undefined : known;
    const image = await readV2Image(this.#storage, repository, digest);
    // What is not all here yet may come.
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
    // Another request may have read it meanwhile.
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
      // Before the tags: one that is set meanwhile makes for another version.
      const version = await this.#storage.tagsVersion?.(repository);
      if (version !== undefined && version === this.#versions.get(repository)) continue;
      const before = this.#missed;
      await this.#eachTagged(repository, (digest) => this.placeOf(repository, digest));
      if (version !== undefined && this.#missed === before) this.#versions.set(repository, version);
    }
  }

  /** Each manifest once, however many tags lead to it. */
  async #eachTagged(repository: string, work: (digest: Digest) => Promise<unknown>): Promise<void> {
    const digests = await tagDigests(this.#storage, repository, (await this.#storage.tags(repository)) ?? []);
    const distinct = new Set(digests.filter((digest) => digest !== undefined));
    if (digests.includes(undefined)) this.#missed += 1;
    await mapLimited([...distinct], PARALLEL_READS, work);
  }

  /** Goes through all that is stored. */
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

/** What tags lead to, parallel to `tags`; undefined for one that is gone. */
export function tagDigests(
  storage: Pick<RegistryStorage, 'tagDigest'>,
  repository: string,
  tags: readonly string[],
): Promise<(Digest | undefined)[]> {
  return mapLimited(tags, PARALLEL_READS, (tag) => storage.tagDigest(repository, tag));
}
