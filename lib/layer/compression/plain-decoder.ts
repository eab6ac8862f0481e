import type { BlobReader } from './blob-reader.js';
import type { Decoder, Slot } from './decoder.js';

/** Passes on the bytes of an uncompressed layer. */
export class PlainDecoder implements Decoder {
  readonly notes: readonly string[] = [];
  readonly #blob: BlobReader;

  constructor(blob: BlobReader) {
    this.#blob = blob;
  }

  read(slot: Slot): Promise<number> {
    const blob = this.#blob;
    let filled = 0;
    while (filled < slot.bytes.length) {
      if (blob.start === blob.end && !blob.fill()) break;
      const count = Math.min(blob.end - blob.start, slot.bytes.length - filled);
      slot.bytes.set(blob.bytes.subarray(blob.start, blob.start + count), filled);
      blob.start += count;
      filled += count;
    }
    return Promise.resolve(filled);
  }
}
