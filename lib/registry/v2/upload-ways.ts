import type { HostFacts, UploadWay } from '../../http/index.js';

/** Up to this a blob goes in one piece: to send it again costs less than to ask how far it came. Bytes. */
export const WHOLE_BYTES = 4 * 1024 * 1024;
/** Proxies before registries take requests of 100 MB and more. Bytes. */
const CHUNK_BYTES = 64 * 1024 * 1024;
const LEAST_CHUNK_BYTES = 1024 * 1024;

const SMALL_ORDER: readonly UploadWay[] = ['put', 'patch', 'chunks'];
const LARGE_ORDER: readonly UploadWay[] = ['chunks', 'patch', 'put'];

/**
 * The ways to upload one blob: each that the host refuses makes room for the next, and what worked instead is remembered
 * for its other blobs.
 */
export class UploadWays {
  readonly #facts: HostFacts;
  readonly #size: number;
  readonly #refused = new Set<UploadWay>();
  #leastBytes = 0;
  /** The way to go in the session that was begun. */
  current: UploadWay;

  /** `size` of the blob in bytes. */
  constructor(facts: HostFacts, size: number) {
    this.#facts = facts;
    this.#size = size;
    this.current = this.#choose();
  }

  /** A session begins: what other uploads have learned by now counts. */
  begin(): void {
    this.current = this.#choose();
  }

  /** Bytes of a chunk. */
  get chunkBytes(): number {
    return Math.max(this.#leastBytes, Math.min(CHUNK_BYTES, this.#facts.maxBodyBytes ?? Infinity));
  }

  /** The host wants chunks of at least so many bytes. */
  atLeast(bytes: number): void {
    this.#leastBytes = bytes;
  }

  /** The host does not take the blob in the current way. */
  refuseCurrent(): void {
    this.#refused.add(this.current);
  }

  /** The host takes no body of `length` bytes. False: shorter ones are not worth trying. */
  shrink(length: number): boolean {
    if (length <= LEAST_CHUNK_BYTES) return false;
    this.#facts.maxBodyBytes = Math.max(LEAST_CHUNK_BYTES, Math.floor(Math.min(length, CHUNK_BYTES) / 4));
    return true;
  }

  /** The blob is there. */
  succeeded(): void {
    for (const way of this.#refused) this.#facts.refusedUploads.add(way);
    this.#facts.refusedUploads.delete(this.current);
  }

  /** Where all were refused, the first one again: the refusals may have had another reason. */
  #choose(): UploadWay {
    if (this.#size > (this.#facts.maxBodyBytes ?? Infinity)) return 'chunks';
    const order = this.#size <= WHOLE_BYTES ? SMALL_ORDER : LARGE_ORDER;
    const left = order.filter((way) => !this.#refused.has(way));
    return left.find((way) => !this.#facts.refusedUploads.has(way)) ?? left[0] ?? order[0]!;
  }
}
