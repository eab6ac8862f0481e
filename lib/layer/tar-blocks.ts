import { createHash } from 'node:crypto';
import { BlockPool, COMPRESS_BLOCK } from './block-pool.js';

const ZEROS = Buffer.alloc(65536);

/** Collects the bytes of a tar in blocks of equal length (the last may be shorter), allocated from `pool`. */
export class TarBlocks {
  readonly hash = createHash('sha256');
  readonly pool: BlockPool;
  /** Size of the finished blocks. Bytes. */
  size = 0;
  readonly #onProgress: ((bytes: number) => void) | undefined;
  #block: Buffer;
  #used = 0;

  constructor(compression: 'gzip' | 'zstd' | 'none', onProgress?: (bytes: number) => void) {
    this.pool = new BlockPool(compression);
    this.#onProgress = onProgress;
    this.#block = this.pool.take();
  }

  /** Copies `bytes` and yields each block that becomes full. */
  *write(bytes: Buffer): Generator<Buffer> {
    for (let done = 0; done < bytes.length;) {
      const length = bytes.copy(this.#block, this.#used, done);
      done += length;
      yield* this.filled(length);
    }
  }

  /** Adds `count` zero bytes. */
  *zeros(count: number): Generator<Buffer> {
    for (let left = count; left > 0; left -= ZEROS.length)
      yield* this.write(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
  }

  /** The memory for the next bytes, at most `length`. Call `filled` afterwards. */
  room(length: number): Buffer {
    return this.#block.subarray(this.#used, Math.min(COMPRESS_BLOCK, this.#used + length));
  }

  /** Confirms that `length` bytes from `room` were filled. */
  *filled(length: number): Generator<Buffer> {
    this.#used += length;
    if (this.#used === COMPRESS_BLOCK) yield this.#finishBlock();
  }

  /** Yields the last block. */
  *end(): Generator<Buffer> {
    if (this.#used > 0) yield this.#finishBlock();
  }

  /** Frees the memory for later tars. Call it after the last block has been read. */
  close(): void {
    this.pool.give(this.#block);
    this.pool.close();
  }

  #finishBlock(): Buffer {
    const block = this.#block.subarray(0, this.#used);
    this.#block = this.pool.take();
    this.#used = 0;
    this.hash.update(block);
    this.size += block.length;
    this.#onProgress?.(this.size);
    return block;
  }
}
