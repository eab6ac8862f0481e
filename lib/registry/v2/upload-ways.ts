import type { HostFacts, UploadWay } from '../../http/index.js';

/** Blobs up to this size are sent in one piece: sending them again is cheaper than asking for the offset. Bytes. */
export const WHOLE_BYTES = 4 * 1024 * 1024;
/** Proxies in front of registries usually accept requests of 100 MB. Bytes. */
const CHUNK_BYTES = 64 * 1024 * 1024;
const LEAST_CHUNK_BYTES = 1024 * 1024;

const SMALL_ORDER: readonly UploadWay[] = ['put', 'patch', 'chunks'];
const LARGE_ORDER: readonly UploadWay[] = ['chunks', 'patch', 'put'];

/**
 * The methods to upload one blob. When the host refuses one, the next is tried; the one that works is remembered for
 * the host's other blobs.
 */
export class UploadWays {
  readonly #facts: HostFacts;
  readonly #size: number;
  readonly #refused = new Set<UploadWay>();
  #leastBytes = 0;
  /** The method for the current session. */
  current: UploadWay;

  /** `size` is the size of the blob in bytes. */
  constructor(facts: HostFacts, size: number) {
    this.#facts = facts;
    this.#size = size;
    this.current = this.#choose();
  }

  /** Starts a session. Takes into account what other uploads have learned since. */
  begin(): void {
    this.current = this.#choose();
  }

  /** Size of a chunk. Bytes. */
  get chunkBytes(): number {
    return Math.max(this.#leastBytes, Math.min(CHUNK_BYTES, this.#facts.maxBodyBytes ?? Infinity));
  }

  /** Sets the smallest chunk that the host accepts. Bytes. */
  atLeast(bytes: number): void {
    this.#leastBytes = bytes;
  }

  /** Records that the host refuses the current method. */
  refuseCurrent(): void {
    this.#refused.add(this.current);
  }

  /** Records that the host refuses bodies of `length` bytes. False when smaller ones are not worth trying. */
  shrink(length: number): boolean {
    if (length <= LEAST_CHUNK_BYTES) return false;
    this.#facts.maxBodyBytes = Math.max(LEAST_CHUNK_BYTES, Math.floor(Math.min(length, CHUNK_BYTES) / 4));
    return true;
  }

  /** Records that the upload has succeeded. */
  succeeded(): void {
    for (const way of this.#refused) this.#facts.refusedUploads.add(way);
    this.#facts.refusedUploads.delete(this.current);
  }

  /** When all methods were refused, starts with the first again: the refusals may have had another reason. */
  #choose(): UploadWay {
    if (this.#size > (this.#facts.maxBodyBytes ?? Infinity)) return 'chunks';
    const order = this.#size <= WHOLE_BYTES ? SMALL_ORDER : LARGE_ORDER;
    const left = order.filter((way) => !this.#refused.has(way));
    return left.find((way) => !this.#facts.refusedUploads.has(way)) ?? left[0] ?? order[0]!;
  }
}
