import { createHash, type Hash } from 'node:crypto';
import { ftruncate, read, writev } from 'node:fs';
import { promisify } from 'node:util';
import { digestFrom, type Digest, type DigestAlgorithm } from '../spec/index.js';
import { diskError } from './disk-error.js';

const readAsync = promisify(read);
const writevAsync = promisify(writev);
const truncateAsync = promisify(ftruncate);

/** Size in bytes up to which chunks are collected before a write. */
const WRITE_BYTES = 512 * 1024;
const MAX_PARTS = 1024;
const READ_BYTES = 1024 * 1024;

/**
 * Appends to an open file and hashes the bytes. One write is in progress while the next is collected: each at most 512
 * KiB and a chunk. The caller owns and closes `fd`.
 */
export class HashingFile {
  readonly #fd: number;
  readonly #path: string;
  readonly #algorithm: DigestAlgorithm;
  readonly #onWritten: (length: number) => void;
  #hash: Hash;
  #length = 0;
  #written = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #underWay: Promise<void> = Promise.resolve();
  #failure: Error | undefined;

  /** `onWritten` is called each time the file has more bytes than before (in the page cache). */
  constructor(
    file: { readonly fd: number; readonly path: string },
    algorithm: DigestAlgorithm,
    onWritten: (length: number) => void = () => undefined,
  ) {
    this.#fd = file.fd;
    this.#path = file.path;
    this.#algorithm = algorithm;
    this.#onWritten = onWritten;
    this.#hash = createHash(algorithm);
  }

  /** Bytes accepted so far, written or not. */
  get length(): number {
    return this.#length;
  }

  /** Hashes the first `length` bytes, which the file already has, and continues after them. */
  async resume(length: number, signal: AbortSignal): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, length)));
    while (this.#length < length) {
      signal.throwIfAborted();
      const want = Math.min(buffer.length, length - this.#length);
      const { bytesRead } = await readAsync(this.#fd, buffer, 0, want, this.#length);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#length += bytesRead;
    }
    this.#written = this.#length;
    this.#onWritten(this.#written);
  }

  /** Returns to the start. The old bytes stay in the file until they are overwritten, so that a reader never meets its end. */
  async restart(): Promise<void> {
    await this.flush();
    this.#hash = createHash(this.#algorithm);
    this.#length = 0;
    this.#written = 0;
    this.#onWritten(0);
  }

  /** Appends; `chunk` must not be modified afterwards. Throws DiskSpaceError, SyscallError, also for an earlier write. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#hash.update(chunk);
    this.#length += chunk.length;
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    if (this.#partBytes < WRITE_BYTES && this.#parts.length < MAX_PARTS) return;
    await this.#underWay;
    this.#writeOut();
  }

  /** Waits until all accepted bytes are in the file. */
  async flush(): Promise<void> {
    await this.#underWay;
    if (this.#partBytes > 0) this.#writeOut();
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Truncates the file to the bytes written, because it may be longer after `restart`. */
  async trim(): Promise<void> {
    await this.#underWay;
    await truncateAsync(this.#fd, this.#written);
  }

  /** The digest of all accepted bytes. The file accepts no more afterwards. */
  digest(): Digest {
    return digestFrom(this.#hash, this.#algorithm);
  }

  #writeOut(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    if (this.#failure !== undefined) return;
    this.#underWay = this.#writeAll(parts).catch((error: unknown) => {
      this.#failure = diskError(error, this.#path);
    });
  }

  async #writeAll(parts: Uint8Array[]): Promise<void> {
    let rest = parts;
    while (rest.length > 0) {
      const { bytesWritten } = await writevAsync(this.#fd, rest, this.#written);
      this.#written += bytesWritten;
      rest = behind(rest, bytesWritten);
    }
    this.#onWritten(this.#written);
  }
}

/** The rest of `parts` after their first `bytes`. */
function behind(parts: Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  for (const [index, part] of parts.entries()) {
    if (skip < part.length) return [part.subarray(skip), ...parts.slice(index + 1)];
    skip -= part.length;
  }
  return [];
}
