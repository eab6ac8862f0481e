import { createHash } from 'node:crypto';
import { addressOf } from '../sys/index.js';
import { digestFrom, type DiffId } from '../spec/index.js';
import { BlobReader } from './compression/blob-reader.js';
import { decoderFor } from './compression/decoder-for.js';
import type { InflateEngine } from './compression/inflate-engine.js';
import { loadInflateEngine, type InflateEngineName } from './compression/inflate-engines.js';
import { indexMembers } from './members/index-members.js';
import { MemoryWindows } from './tar/byte-windows.js';
import type { AppliedLayer, LayerInput } from './types.js';
import { unpackLayer } from './unpack/unpacker.js';
import { WHITEOUT_PREFIX } from './whiteout.js';
import type { UnpackJob } from './worker-protocol.js';

/** Largest blob that is unpacked without threads. Bytes. */
const MAX_BLOB_BYTES = 64 * 1024;
/** Its tar must be smaller than this, so it has a thousand members at most. Bytes. */
const MAX_TAR_BYTES = 512 * 1024;

/** Unpacks or indexes small layers in the calling thread: that takes less time than starting the threads of an applier. */
export class SmallLayers {
  readonly #engineName: InflateEngineName | undefined;
  #engine: InflateEngine | undefined;
  #blob: BlobReader | undefined;
  #signal: AbortSignal | undefined;

  constructor(engineName: InflateEngineName | undefined) {
    this.#engineName = engineName;
  }

  /**
   * Waits for the whole blob. Resolves with undefined, before it changes anything, if the layer is not small or has
   * whiteouts, whose removals can take long. Throws as `LayerApplier.apply`, and StoppedError.
   */
  async apply(
    { fd, growing, size }: Pick<LayerInput, 'fd' | 'growing' | 'size'>,
    job: UnpackJob,
    signal: AbortSignal,
  ): Promise<AppliedLayer | undefined> {
    if (size === 0 || size > MAX_BLOB_BYTES) return undefined;
    await growing.ended(signal);
    this.#signal = signal;
    this.#blob ??= new BlobReader(() => this.#signal?.aborted === true);
    this.#blob.open(fd, growing);
    const { compression, decoder } = decoderFor(
      this.#blob,
      () => (this.#engine ??= loadInflateEngine(this.#engineName)),
    );
    const bytes = new Uint8Array(MAX_TAR_BYTES);
    const length = await decoder.read({ bytes, address: addressOf(bytes) });
    const tar = Buffer.from(bytes.buffer, 0, length);
    if (length === bytes.length || tar.includes(WHITEOUT_PREFIX)) return undefined;
    const stopped = (): boolean => signal.aborted;
    const windows = new MemoryWindows(tar);
    const { entries, notes } =
      'root' in job
        ? unpackLayer(windows, { ...job, exactModes: false, stopped })
        : { ...indexMembers(windows, { ...job, stopped }), notes: [] };
    const diffId = digestFrom(createHash('sha256').update(tar)) as DiffId;
    return { diffId, size: length, compression, entries, notes: [...decoder.notes, ...notes] };
  }
}
