import { crc32 } from 'node:zlib';
import type { InflateEngine, InflateStep } from './inflate-engine.js';
import { NodeInflate } from './node-inflate.js';

interface ZlibSyncStream {
  readonly result: Buffer | null;
  readonly err: number;
  push(buffer: Uint8Array, flush: number): void;
}

/** The parts of the zlib-sync package in use. */
export interface ZlibSyncModule {
  readonly Inflate: new (options: { chunkSize: number; windowBits: number }) => ZlibSyncStream;
  readonly Z_SYNC_FLUSH: number;
  readonly Z_STREAM_END: number;
  readonly Z_BUF_ERROR: number;
}

/** Input per call. Limits how far a decompression bomb expands (1032 times) before it is checked. */
const PIECE_BYTES = 16 * 1024;
/** The package clears this much memory for each member. */
const CHUNK_BYTES = 64 * 1024;
const REPLAY_CHUNK_BYTES = 1024;
/** The package never frees zlib's memory for a stream, about 43 KB. After this many members, node:zlib takes over. */
const MAX_STREAMS = 200;
const TRAILER_BYTES = 8;
const NOTHING = new Uint8Array(1).subarray(1);

/**
 * Raw deflate by zlib-sync in this thread. The package does not report how much input a stream consumed, so its end is
 * located by the gzip trailer that must follow: CRC and length of the output.
 */
export class ZlibSyncInflate implements InflateEngine {
  readonly takesTrailer = false;
  readonly #module: ZlibSyncModule;
  #streams = 0;
  #relief: NodeInflate | undefined;
  #stream: ZlibSyncStream | undefined;
  #held: Buffer | undefined;
  #streamEnded = false;
  #fresh = true;
  #more = false;
  #crc = 0;
  #size = 0;

  constructor(module: ZlibSyncModule) {
    this.#module = module;
  }

  get done(): boolean {
    return this.#relief?.done ?? (this.#streamEnded && this.#held === undefined);
  }

  reset(): void {
    if (this.#streams >= MAX_STREAMS) {
      this.#stream = undefined;
      (this.#relief ??= new NodeInflate()).reset();
      return;
    }
    this.#stream = this.#create(CHUNK_BYTES);
    this.#held = undefined;
    this.#streamEnded = this.#more = false;
    this.#fresh = true;
    this.#crc = this.#size = 0;
  }

  step(step: InflateStep, ended: boolean): string | undefined | Promise<string | undefined> {
    if (this.#relief !== undefined) return this.#relief.step(step);
    if (this.#held === undefined && this.#more) {
      this.#push(NOTHING);
    } else if (this.#held === undefined) {
      // The trailer must be in view in case the stream ends in this piece.
      const available = step.inputEnd - step.inputStart;
      const count = Math.min(PIECE_BYTES, ended ? available : available - TRAILER_BYTES);
      if (count <= 0) return undefined;
      const piece = step.input.subarray(step.inputStart, step.inputStart + count);
      const problem = this.#push(piece);
      if (problem !== undefined) return problem;
      if (this.#streamEnded) {
        const taken = this.#findEnd(step, count);
        if (typeof taken === 'string') return taken;
        step.inputStart += taken;
      } else {
        step.inputStart += count;
      }
      this.#fresh = false;
    }
    this.#copyHeld(step);
    return undefined;
  }

  #create(chunkSize: number): ZlibSyncStream {
    this.#streams += 1;
    return new this.#module.Inflate({ chunkSize, windowBits: -15 });
  }

  #push(piece: Uint8Array): string | undefined {
    const stream = this.#stream!;
    stream.push(piece, this.#module.Z_SYNC_FLUSH);
    if (stream.err < 0 && stream.err !== this.#module.Z_BUF_ERROR) return 'invalid deflate data';
    const result = stream.result;
    this.#streamEnded = stream.err === this.#module.Z_STREAM_END;
    this.#more = !this.#streamEnded && result !== null && result.length > 0 && result.length % CHUNK_BYTES === 0;
    if (result === null || result.length === 0) return undefined;
    this.#held = result;
    this.#crc = crc32(result, this.#crc);
    this.#size = (this.#size + result.length) % 0x1_0000_0000;
    return undefined;
  }

  /** The number of bytes up to the end of the stream in this piece, or a description of the problem. */
  #findEnd(step: InflateStep, count: number): number | string {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#size, 4);
    const from = Buffer.from(step.input.buffer, step.input.byteOffset + step.inputStart);
    const view = from.subarray(0, Math.min(count + TRAILER_BYTES, step.inputEnd - step.inputStart));
    const first = view.indexOf(trailer, 1);
    if (first < 0) return 'checksum or length does not match, or the end is missing';
    if (view.indexOf(trailer, first + 1) < 0) return first;
    if (this.#fresh) return this.#replay(view.subarray(0, count));
    // A trailer other than zeros occurs by chance before the end once in 2^64, and after it when a member is repeated.
    if (this.#crc !== 0 || this.#size !== 0) return first;
    return 'zlib-sync cannot tell where a gzip member ends (install libisal2)';
  }

  /** Finds the end byte by byte. Slow but exact; for short members whose trailer occurs twice (empty ones before zero padding). */
  #replay(piece: Uint8Array): number {
    const stream = this.#create(REPLAY_CHUNK_BYTES);
    let taken = 0;
    while (stream.err !== this.#module.Z_STREAM_END && taken < piece.length) {
      stream.push(piece.subarray(taken, taken + 1), this.#module.Z_SYNC_FLUSH);
      taken += 1;
    }
    return taken;
  }

  #copyHeld(step: InflateStep): void {
    const held = this.#held;
    if (held === undefined) return;
    const count = Math.min(held.length, step.outputEnd - step.outputStart);
    step.output.set(held.subarray(0, count), step.outputStart);
    step.outputStart += count;
    this.#held = count === held.length ? undefined : held.subarray(count);
  }
}
