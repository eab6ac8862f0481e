import { readSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { addressOf } from '../../sys/index.js';
import type { GrowingFile } from '../../util/index.js';
import { SourceFailedError } from '../source-failed-error.js';
import { StoppedError } from '../stopped-error.js';

/** Size of the read buffer; holds any gzip header (MAX_GZIP_HEADER_BYTES). */
const BUFFER_BYTES = 256 * 1024;

/** A window over a blob file that may still grow: `bytes[start..end)` has been read but not consumed. Blocks its thread. */
export class BlobReader {
  readonly bytes = new Uint8Array(BUFFER_BYTES);
  readonly address = addressOf(this.bytes);
  start = 0;
  end = 0;
  #fd = -1;
  #growing: GrowingFile | undefined;
  #offset = 0;
  readonly #stopped: () => boolean;

  constructor(stopped: () => boolean) {
    this.#stopped = stopped;
  }

  /** Switches to another file, at its first byte. */
  open(fd: number, growing: GrowingFile): void {
    this.#fd = fd;
    this.#growing = growing;
    this.#offset = 0;
    this.start = this.end = 0;
  }

  /** Bytes read from the file so far. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Reads more after the unconsumed bytes. Returns false at the end of the (verified) file. Throws SourceFailedError,
   * StoppedError.
   */
  fill(): boolean {
    if (this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    if (this.end === this.bytes.length) return true;
    const { length, state } = this.#growing!.waitBeyond(this.#offset, this.#stopped);
    if (state === 'failed') throw new SourceFailedError();
    if (state === 'stopped' || this.#stopped()) throw new StoppedError();
    if (length <= this.#offset) return false;
    const count = Math.min(length - this.#offset, this.bytes.length - this.end);
    const read = readSync(this.#fd, this.bytes, this.end, count, this.#offset);
    if (read === 0) throw new LayerFormatError('the layer blob is shorter than announced');
    this.end += read;
    this.#offset += read;
    return true;
  }

  /** Tries to fill the window with at least `count` bytes. Returns false when the file ends before. */
  ensure(count: number): boolean {
    while (this.end - this.start < count) if (!this.fill()) return false;
    return true;
  }
}
