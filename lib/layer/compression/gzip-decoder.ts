import { crc32 } from 'node:zlib';
import { LayerFormatError } from '../../errors.js';
import { MAX_GZIP_HEADER_BYTES } from '../limits.js';
import type { BlobReader } from './blob-reader.js';
import type { Decoder, Slot } from './decoder.js';
import type { InflateEngine, InflateStep } from './inflate-engine.js';

const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;
const FIXED_BYTES = 10;
/** With less input than this, more is read first, so that engines that look ahead can proceed. */
const LOOK_AHEAD_BYTES = 64;

/** Decompresses gzip (RFC 1952). Like gzip(1), accepts several members, zero padding and trailing garbage. */
export class GzipDecoder implements Decoder {
  readonly notes: string[] = [];
  readonly #blob: BlobReader;
  readonly #engine: InflateEngine;
  readonly #step: { -readonly [K in keyof InflateStep]: InflateStep[K] };
  #members = 0;
  #inMember = false;
  #ended = false;
  #crc = 0;
  #size = 0;

  constructor(blob: BlobReader, engine: InflateEngine) {
    this.#blob = blob;
    this.#engine = engine;
    this.#step = {
      input: blob.bytes,
      inputAddress: blob.address,
      inputStart: 0,
      inputEnd: 0,
      output: blob.bytes,
      outputAddress: 0,
      outputStart: 0,
      outputEnd: 0,
    };
  }

  async read(slot: Slot): Promise<number> {
    const step = this.#step;
    step.output = slot.bytes;
    step.outputAddress = slot.address;
    step.outputStart = 0;
    step.outputEnd = slot.bytes.length;
    while (step.outputStart < step.outputEnd) {
      if (!this.#inMember && !this.#beginMember()) break;
      const pending = this.#inflate();
      if (pending !== undefined) this.#settle(await pending);
    }
    return step.outputStart;
  }

  /** Runs one step of the engine. `#settle` accounts for its output, immediately or when the returned promise resolves. */
  #inflate(): Promise<string | undefined> | undefined {
    const blob = this.#blob;
    const step = this.#step;
    let ended = this.#ended;
    if (!ended && blob.end - blob.start < LOOK_AHEAD_BYTES) ended = this.#ended = !blob.fill();
    step.inputStart = blob.start;
    step.inputEnd = blob.end;
    this.#outputBefore = step.outputStart;
    const outcome = this.#engine.step(step, ended);
    if (outcome instanceof Promise) return outcome;
    this.#settle(outcome);
    return undefined;
  }
  #outputBefore = 0;

  #settle(problem: string | undefined): void {
    if (problem !== undefined) throw new LayerFormatError(`the gzip layer is corrupt: ${problem}`);
    const step = this.#step;
    const blob = this.#blob;
    const consumed = step.inputStart - blob.start;
    const produced = step.outputStart - this.#outputBefore;
    blob.start = step.inputStart;
    if (produced > 0 && !this.#engine.takesTrailer) {
      this.#crc = crc32(step.output.subarray(this.#outputBefore, step.outputStart), this.#crc);
      this.#size = (this.#size + produced) % 0x1_0000_0000;
    }
    if (this.#engine.done) this.#endMember();
    else if (this.#ended && consumed === 0 && produced === 0) throw new LayerFormatError('the gzip layer is truncated');
  }

  #endMember(): void {
    this.#inMember = false;
    if (this.#engine.takesTrailer) return;
    const blob = this.#blob;
    if (!blob.ensure(8)) throw new LayerFormatError('the gzip layer is truncated');
    const view = new DataView(blob.bytes.buffer, blob.bytes.byteOffset + blob.start, 8);
    if (view.getUint32(0, true) !== this.#crc) throw new LayerFormatError('the gzip layer is corrupt: wrong checksum');
    if (view.getUint32(4, true) !== this.#size) throw new LayerFormatError('the gzip layer is corrupt: wrong length');
    blob.start += 8;
  }

  /** Parses the next member's header. Returns false at the end of the stream. */
  #beginMember(): boolean {
    const blob = this.#blob;
    if (!blob.ensure(2) || blob.bytes[blob.start] !== 0x1f || blob.bytes[blob.start + 1] !== 0x8b) {
      if (this.#members === 0) throw new LayerFormatError('the gzip layer is truncated');
      this.#skipTail();
      return false;
    }
    const length = this.#headerLength();
    blob.start += length;
    this.#members += 1;
    this.#inMember = true;
    this.#crc = this.#size = 0;
    this.#engine.reset();
    return true;
  }

  #headerLength(): number {
    this.#need(FIXED_BYTES);
    const flags = this.#byte(3);
    if (this.#byte(2) !== 8 || (flags & FLAG.reserved) !== 0)
      throw new LayerFormatError('the gzip layer is corrupt: unknown method or flags');
    let length: number = FIXED_BYTES;
    if ((flags & FLAG.extra) !== 0) {
      this.#need(length + 2);
      length += 2 + this.#byte(length) + 256 * this.#byte(length + 1);
      this.#need(length);
    }
    if ((flags & FLAG.name) !== 0) length = this.#endOfString(length);
    if ((flags & FLAG.comment) !== 0) length = this.#endOfString(length);
    if ((flags & FLAG.headerCrc) !== 0) {
      this.#need(length + 2);
      const { bytes, start } = this.#blob;
      const expected = this.#byte(length) + 256 * this.#byte(length + 1);
      if ((crc32(bytes.subarray(start, start + length)) & 0xffff) !== expected)
        throw new LayerFormatError('the gzip layer is corrupt: wrong header checksum');
      length += 2;
    }
    return length;
  }

  #endOfString(from: number): number {
    for (let at = from; ; at += 1) {
      this.#need(at + 1);
      if (this.#byte(at) === 0) return at + 1;
    }
  }

  #byte(offset: number): number {
    return this.#blob.bytes[this.#blob.start + offset]!;
  }

  #need(count: number): void {
    if (count > MAX_GZIP_HEADER_BYTES) throw new LayerFormatError('the gzip layer has an oversized header');
    if (!this.#blob.ensure(count)) throw new LayerFormatError('the gzip layer is truncated');
  }

  /** Skips everything after the last member, to the end of the blob. */
  #skipTail(): void {
    const blob = this.#blob;
    let garbage = 0;
    do {
      for (let at = blob.start; at < blob.end; at += 1) if (blob.bytes[at] !== 0) garbage += 1;
      blob.start = blob.end;
    } while (blob.fill());
    if (garbage > 0) this.notes.push(`ignored ${garbage} bytes of garbage after the gzip data`);
  }
}
