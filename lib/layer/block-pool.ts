/** Bytes of tar that are compressed as one piece; part of the format, since it decides the bytes that come out. */
export const COMPRESS_BLOCK = 1 << 20;

/**
 * Blocks of COMPRESS_BLOCK bytes in memory that threads share, used again and again: new ones for each megabyte cost more
 * time in page faults and garbage collection than reading the megabyte does.
 */
export class BlockPool {
  readonly #free: SharedArrayBuffer[] = [];

  /** A whole block with any content; a new one when none has been given back. */
  take(): Buffer {
    return Buffer.from(this.#free.pop() ?? new SharedArrayBuffer(COMPRESS_BLOCK));
  }

  /** Takes back a block, or a part from its start, that nobody reads any more. */
  give(block: Buffer): void {
    this.#free.push(block.buffer as unknown as SharedArrayBuffer);
  }
}
