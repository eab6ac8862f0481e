/**
 * A byte stream read through windows: `bytes[start..end)` can be read now; the reader advances `start`.
 * Every window except the last has a length that is a multiple of 512. Windows start at a multiple of 4 in `bytes`.
 */
export interface ByteWindows {
  readonly bytes: Uint8Array;
  /** The memory of `bytes` as 32-bit words. */
  readonly words: Uint32Array;
  /** Memory address of `bytes`. */
  readonly address: number;
  start: number;
  readonly end: number;
  /** Releases the window and takes the next one. Returns false at the end of the stream. */
  advance(): boolean;
}
