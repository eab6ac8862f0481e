import { LayerFormatError, UnsupportedMediaTypeError } from '../../errors.js';
import { ZstdDecompress } from '../../sys/index.js';
import type { BlobReader } from './blob-reader.js';
import type { Decoder, Slot } from './decoder.js';

let shared: ZstdDecompress | undefined;

/** Decompresses a sequence of zstd frames, including skippable ones (RFC 8878), with libzstd. */
export class ZstdDecoder implements Decoder {
  readonly notes: readonly string[] = [];
  readonly #blob: BlobReader;
  readonly #engine: ZstdDecompress;

  /** Throws UnsupportedMediaTypeError without libzstd. Only one decoder at a time, because the engine is reused. */
  constructor(blob: BlobReader) {
    this.#blob = blob;
    const engine = (shared ??= ZstdDecompress.load());
    if (engine === undefined)
      throw new UnsupportedMediaTypeError('the layer is compressed with zstd and libzstd.so.1 is not installed', {
        mediaType: 'application/zstd',
        hint: 'install the Debian package libzstd1',
      });
    engine.reset();
    this.#engine = engine;
  }

  read(slot: Slot): Promise<number> {
    return Promise.resolve(this.#read(slot));
  }

  #read(slot: Slot): number {
    const blob = this.#blob;
    const engine = this.#engine;
    let filled = 0;
    while (filled < slot.bytes.length) {
      const more = blob.start < blob.end || blob.fill();
      if (!more && engine.frameDone) break;
      const problem = engine.step(
        blob.address + blob.start,
        blob.end - blob.start,
        slot.address + filled,
        slot.bytes.length - filled,
      );
      if (problem !== undefined) throw new LayerFormatError(`the zstd layer is corrupt: ${problem}`);
      if (!more && engine.produced === 0) throw new LayerFormatError('the zstd layer is truncated');
      blob.start += engine.consumed;
      filled += engine.produced;
    }
    return filled;
  }
}
