import { createHash, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { DigestMismatchError, SizeMismatchError } from '../../errors.js';
import { digestAlgorithm, digestFrom, type ReopenableBlob } from '../../spec/index.js';
import { resumeBody } from '../../util/index.js';

/** What a slow reader may lag behind the fastest. Bytes. */
const AHEAD_BYTES = 1024 * 1024;
/** How far back a reader may start again: more than waits for a reader that ends a request in the middle of a blob. Bytes. */
const BEHIND_BYTES = 4 * 1024 * 1024;
/** Who has not begun by then reads for itself later. Milliseconds. */
const GATHER_MS = 30_000;

/** One reader's part in a `SharedRead`. */
export interface SharedReader {
  /** Opened at an offset just read, it goes on; elsewhere, it reads the source for itself. */
  readonly blob: ReopenableBlob;
  /** Wants nothing more: the others go on without it. Call it when done, failed or not. */
  leave(): void;
}

/**
 * Reads a blob once for several readers, as fast as the slowest of them takes it. Begins when all have opened it or left.
 * A broken connection is resumed; bytes with the wrong digest are never given out to the end.
 */
export class SharedRead {
  readonly #source: ReopenableBlob;
  readonly #signal: AbortSignal;
  readonly #onProgress: ((transferred: number) => void) | undefined;
  readonly #onRetry: ((message: string) => void) | undefined;
  readonly #branches = new Set<Branch>();
  readonly #hash: Hash;
  #begun = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    source: ReopenableBlob,
    options: {
      readonly readers: number;
      readonly signal: AbortSignal;
      readonly onProgress?: (transferred: number) => void;
      readonly onRetry?: (message: string) => void;
    },
  ) {
    this.#source = source;
    this.#signal = options.signal;
    this.#onProgress = options.onProgress;
    this.#onRetry = options.onRetry;
    this.#hash = createHash(digestAlgorithm(source.descriptor.digest));
    for (let i = 0; i < options.readers; i++) this.#branches.add(new Branch());
  }

  /** One for each reader. */
  readers(): SharedReader[] {
    return [...this.#branches].map((branch) => ({
      blob: { descriptor: this.#source.descriptor, open: (options) => this.#open(branch, options) },
      leave: () => this.#leave(branch),
    }));
  }

  async #open(branch: Branch, options: { readonly signal: AbortSignal; readonly offset: number }): Promise<Readable> {
    options.signal.throwIfAborted();
    const joins = branch.state === 'new' && options.offset === 0 && !this.#begun;
    if (joins) branch.state = 'open';
    const stream = branch.state === 'open' ? branch.from(options.offset) : undefined;
    if (stream !== undefined) {
      this.#gather();
      return stream;
    }
    this.#leave(branch);
    return this.#source.open(options);
  }

  #leave(branch: Branch): void {
    branch.leave();
    this.#branches.delete(branch);
    this.#gather();
  }

  /** Starts when all readers are ready. */
  #gather(): void {
    if (this.#begun) return;
    const all = [...this.#branches];
    if (all.length === 0) return clearTimeout(this.#timer);
    if (all.some(({ state }) => state === 'new')) {
      this.#timer ??= setTimeout(() => {
        for (const branch of all.filter(({ state }) => state === 'new')) this.#leave(branch);
      }, GATHER_MS);
      return;
    }
    this.#begun = true;
    clearTimeout(this.#timer);
    this.#readAll().then(
      () => this.#branches.forEach((branch) => branch.finish()),
      (error: unknown) => this.#branches.forEach((branch) => branch.fail(error as Error)),
    );
  }

  async #readAll(): Promise<void> {
    const { size } = this.#source.descriptor;
    let position = 0;
    const readRest = async (): Promise<void> => {
      const stream = await this.#source.open({ signal: this.#signal, offset: position });
      // Leaving the loop destroys the stream.
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        position += chunk.length;
        this.#check(chunk, position);
        if (this.#branches.size === 0) return;
        for (const branch of this.#branches) branch.give(chunk);
        this.#onProgress?.(position);
        await Promise.all([...this.#branches].map((branch) => branch.room()));
        if (this.#branches.size === 0) return;
      }
      if (position < size) throw this.#sizeError(position);
      if (size === 0) this.#checkDigest();
    };
    await resumeBody(readRest, () => position, { signal: this.#signal, onRetry: this.#onRetry });
  }

  /** Before the last bytes are given out, all of them must be right. */
  #check(chunk: Buffer, position: number): void {
    const { size } = this.#source.descriptor;
    if (position > size) throw this.#sizeError(position);
    this.#hash.update(chunk);
    if (position === size) this.#checkDigest();
  }

  #checkDigest(): void {
    const { digest } = this.#source.descriptor;
    const actual = digestFrom(this.#hash, digestAlgorithm(digest));
    if (actual === digest) return;
    throw new DigestMismatchError(`the source sent blob ${digest} with digest ${actual}`, { expected: digest, actual });
  }

  #sizeError(actual: number): SizeMismatchError {
    const { digest, size: expected } = this.#source.descriptor;
    return new SizeMismatchError(`the source sent ${actual} bytes of blob ${digest}, not ${expected}`, {
      expected,
      actual,
    });
  }
}

/** What one reader has still to take, and what it took last. */
class Branch {
  state: 'new' | 'open' | 'left' = 'new';
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #behind: Buffer[] = [];
  #behindBytes = 0;
  /** First byte of `#ahead`. */
  #position = 0;
  #end: { readonly error?: Error } | undefined;
  /** Only the stream opened last may take. */
  #turn = 0;
  #wake: (() => void) | undefined;
  #makeRoom: (() => void) | undefined;

  give(chunk: Buffer): void {
    this.#ahead.push(chunk);
    this.#aheadBytes += chunk.length;
    this.#wake?.();
  }

  /** Resolves when more may be given. */
  room(): Promise<void> {
    if (this.#aheadBytes < AHEAD_BYTES || this.state === 'left') return Promise.resolve();
    return new Promise((resolve) => (this.#makeRoom = resolve));
  }

  finish(): void {
    this.#end ??= {};
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  leave(): void {
    this.state = 'left';
    this.#turn++;
    this.#wake?.();
    this.#makeRoom?.();
    [this.#ahead, this.#behind] = [[], []];
  }

  /** A stream from `offset` on; undefined when that is too far back. Ends the one before. */
  from(offset: number): Readable | undefined {
    if (offset > this.#position || offset < this.#position - this.#behindBytes) return undefined;
    let back = this.#position - offset;
    while (back > 0) {
      const chunk = this.#behind.pop()!;
      const again = chunk.subarray(Math.max(0, chunk.length - back));
      this.#behindBytes -= chunk.length;
      back -= again.length;
      this.#position -= again.length;
      this.#ahead.unshift(again);
      this.#aheadBytes += again.length;
    }
    this.#turn++;
    this.#wake?.();
    return Readable.from(this.#take(this.#turn), { objectMode: false });
  }

  async *#take(turn: number): AsyncGenerator<Buffer> {
    for (;;) {
      if (turn !== this.#turn) return;
      const chunk = this.#ahead.shift();
      if (chunk !== undefined) {
        this.#remember(chunk);
        yield chunk;
        continue;
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #remember(chunk: Buffer): void {
    this.#position += chunk.length;
    this.#aheadBytes -= chunk.length;
    this.#behind.push(chunk);
    this.#behindBytes += chunk.length;
    while (this.#behindBytes - this.#behind[0]!.length >= BEHIND_BYTES) {
      this.#behindBytes -= this.#behind.shift()!.length;
    }
    if (this.#aheadBytes < AHEAD_BYTES) this.#makeRoom?.();
  }
}
