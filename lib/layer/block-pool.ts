/** Bytes of tar that are compressed as one piece; part of the format, since it decides the bytes that come out. */
export const COMPRESS_BLOCK = 1 << 20;

/** Blocks of pools that have ended, for the next ones: to make new ones takes longer than to pack a small layer. */
const spare: ArrayBufferLike[] = [];
const MAX_SPARE = 4;

/**
 * Blocks of COMPRESS_BLOCK bytes, used again and again: new ones for each megabyte cost more time in page faults and garbage
 * collection than reading the megabyte does.
 */
export class BlockPool {
  readonly #free: ArrayBufferLike[] = [];
  readonly #shared: boolean;

  /** For blocks that go through `compress`. What leaves it as it is never comes back, and shared memory is collected late. */
  constructor(compression: 'gzip' | 'zstd' | 'none') {
    this.#shared = compression !== 'none';
  }

  /** A whole block with any content, in memory that threads share where they need it. */
  take(): Buffer {
    const memory = this.#free.pop() ?? (this.#shared ? spare.pop() : undefined);
    if (memory !== undefined) return Buffer.from(memory);
    return this.#shared ? Buffer.from(new SharedArrayBuffer(COMPRESS_BLOCK)) : Buffer.allocUnsafeSlow(COMPRESS_BLOCK);
  }

  /** Takes back a block, or a part from its start, that nobody reads any more. */
  give(block: Buffer): void {
    this.#free.push(block.buffer);
  }

  /** Leaves the blocks that came back to later pools; after this the pool is not used any more. */
  close(): void {
    if (this.#shared) spare.push(...this.#free.splice(0, MAX_SPARE - spare.length));
  }
}
