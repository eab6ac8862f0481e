/** The amount of tar that is compressed as one piece. Part of the format, because it affects the compressed bytes. */
export const COMPRESS_BLOCK = 1 << 20;

/** Blocks of closed pools for the next ones: allocating new ones takes longer than packing a small layer. */
const spare: ArrayBufferLike[] = [];
const MAX_SPARE = 4;

/**
 * Reusable blocks of COMPRESS_BLOCK bytes. Allocating a new block for each megabyte costs more in page faults and
 * garbage collection than reading the megabyte.
 */
export class BlockPool {
  readonly #free: ArrayBufferLike[] = [];
  readonly #shared: boolean;

  /**
   * Shared memory is used only for blocks that are compressed: uncompressed output never returns its blocks, and the
   * garbage collector frees shared memory late.
   */
  constructor(compression: 'gzip' | 'zstd' | 'none') {
    this.#shared = compression !== 'none';
  }

  /** A whole block with arbitrary content, in shared memory if threads need it. */
  take(): Buffer {
    const memory = this.#free.pop() ?? (this.#shared ? spare.pop() : undefined);
    if (memory !== undefined) return Buffer.from(memory);
    return this.#shared ? Buffer.from(new SharedArrayBuffer(COMPRESS_BLOCK)) : Buffer.allocUnsafeSlow(COMPRESS_BLOCK);
  }

  /** Returns a block, or its first part, to the pool. The caller must not use it afterwards. */
  give(block: Buffer): void {
    this.#free.push(block.buffer);
  }

  /** Hands the returned blocks to later pools. The caller must not use the pool afterwards. */
  close(): void {
    if (this.#shared) spare.push(...this.#free.splice(0, MAX_SPARE - spare.length));
  }
}
