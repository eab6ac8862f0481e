import { createHash, randomUUID, type Hash } from 'node:crypto';
import { open, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { DigestMismatchError, SizeMismatchError } from '../errors.js';
import { digestAlgorithm, digestFrom, type Digest } from '../spec/index.js';
import { namesIn, unless } from '../util/index.js';
import type { DirectoryLayout } from './directory-layout.js';
import { withDirectory } from './file-operations.js';
import type { BlobUpload, UploadTurn } from './types.js';

/** Size in bytes up to which received data is collected before a write. */
const WRITE_BYTES = 512 * 1024;
/** The most pieces collected, because each small piece may keep a whole network buffer in memory. */
const MAX_BATCH = 64;
const READ_BYTES = 1024 * 1024;

/** Publishes a verified file as a blob of `repository`. */
type Publish = (file: string, repository: string, digest: Digest) => Promise<void>;

/**
 * The upload sessions of a registry directory. A session is one file: its length is the offset, its location names the
 * repository, and its modification time gives its age. There is no other state, so a restart loses nothing.
 */
export class DirectoryUploads {
  readonly #layout: DirectoryLayout;
  readonly #publish: Publish;
  readonly #sessions = new Map<string, Session>();

  constructor(layout: DirectoryLayout, publish: Publish) {
    this.#layout = layout;
    this.#publish = publish;
  }

  /** Opens an empty session. */
  async start(repository: string): Promise<BlobUpload> {
    const id = randomUUID();
    const file = this.#layout.upload(repository, id);
    await withDirectory(file, () => writeFile(file, '', { flag: 'wx' }));
    return this.#adopt(repository, id, 0);
  }

  /** Finds a session of `repository`, even from before a restart. */
  async find(repository: string, id: string): Promise<BlobUpload | undefined> {
    const file = this.#layout.upload(repository, id);
    const known = this.#sessions.get(file);
    if (known !== undefined) return known;
    const found = await unless(stat(file));
    // Two concurrent requests must get the same session.
    return this.#sessions.get(file) ?? (found === undefined ? undefined : this.#adopt(repository, id, found.size));
  }

  /** Drops the sessions of `repository` that have been idle since `deadlineMs` (ms since 1970). */
  async expire(repository: string, deadlineMs: number): Promise<void> {
    for (const id of await namesIn(this.#layout.uploads(repository))) {
      const file = this.#layout.upload(repository, id);
      const age = await unless(stat(file));
      const session = this.#sessions.get(file);
      if (age === undefined || age.mtimeMs >= deadlineMs || session?.busy === true) continue;
      this.#sessions.delete(file);
      await rm(file, { force: true });
    }
  }

  #adopt(repository: string, id: string, offset: number): Session {
    const file = this.#layout.upload(repository, id);
    const session = new Session(id, file, offset, {
      publish: (digest) => this.#publish(file, repository, digest),
      gone: () => this.#sessions.delete(file),
    });
    this.#sessions.set(file, session);
    return session;
  }
}

interface SessionEvents {
  readonly publish: (digest: Digest) => Promise<void>;
  readonly gone: () => void;
}

/** One upload session; see DirectoryUploads. */
class Session implements BlobUpload {
  readonly id: string;
  readonly #file: string;
  readonly #events: SessionEvents;
  #offset: number;
  /** The hash of all bytes so far; undefined after a restart or a failed write, when the file must be read again. */
  #hash: Hash | undefined;
  #holder: { readonly controller: AbortController; readonly released: Promise<void> } | undefined;
  #gone = false;

  constructor(id: string, file: string, offset: number, events: SessionEvents) {
    this.id = id;
    this.#file = file;
    this.#offset = offset;
    this.#events = events;
    this.#hash = offset === 0 ? createHash('sha256') : undefined;
  }

  get offset(): number {
    return this.#offset;
  }

  get busy(): boolean {
    return this.#holder !== undefined;
  }

  async acquire(): Promise<UploadTurn | undefined> {
    while (this.#holder !== undefined) {
      this.#holder.controller.abort();
      await this.#holder.released;
    }
    if (this.#gone) return undefined;
    const controller = new AbortController();
    let released: () => void = () => undefined;
    const holder = { controller, released: new Promise<void>((resolve) => (released = resolve)) };
    this.#holder = holder;
    const offset = (): number => this.#offset;
    return {
      signal: controller.signal,
      get offset() {
        return offset();
      },
      append: (source, options) => this.#append(source, options?.limit ?? Infinity),
      commit: (digest) => this.#commit(digest),
      cancel: () => this.#drop(),
      release: () => {
        if (this.#holder === holder) this.#holder = undefined;
        released();
      },
    };
  }

  async #append(source: AsyncIterable<Buffer>, limit: number): Promise<void> {
    const start = this.#offset;
    const handle = await open(this.#file, 'r+');
    try {
      await this.#write(handle, source, limit);
    } catch (error) {
      if (error instanceof SizeMismatchError) {
        this.#offset = start;
        this.#hash = start === 0 ? createHash('sha256') : undefined;
      }
      await handle.truncate(this.#offset);
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** Writes one batch while the next one arrives, and hashes in parallel. */
  async #write(handle: FileHandle, source: AsyncIterable<Buffer>, limit: number): Promise<void> {
    let batch: Buffer[] = [];
    let batchBytes = 0;
    let received = 0;
    let writing: Promise<void> = Promise.resolve();
    const flush = async (): Promise<void> => {
      await writing;
      const [buffers, bytes] = [batch, batchBytes];
      [batch, batchBytes] = [[], 0];
      writing = this.#writeBatch(handle, buffers, bytes);
      // Avoids an unhandled rejection before the next await.
      writing.catch(() => undefined);
    };
    try {
      for await (const chunk of source) {
        received += chunk.length;
        if (received > limit) {
          throw new SizeMismatchError(`more than the ${limit} bytes announced`, { expected: limit, actual: received });
        }
        batch.push(chunk);
        batchBytes += chunk.length;
        if (batchBytes >= WRITE_BYTES || batch.length >= MAX_BATCH) await flush();
      }
    } finally {
      if (batchBytes > 0) await flush();
      await writing;
    }
  }

  async #writeBatch(handle: FileHandle, buffers: Buffer[], bytes: number): Promise<void> {
    const hash = this.#hash;
    this.#hash = undefined;
    const written = handle.writev(buffers, this.#offset);
    for (const buffer of buffers) hash?.update(buffer);
    const { bytesWritten } = await written;
    if (bytesWritten < bytes) await writeRest(handle, Buffer.concat(buffers), this.#offset, bytesWritten);
    this.#hash = hash;
    this.#offset += bytes;
  }

  async #commit(digest: Digest): Promise<void> {
    try {
      const actual = await this.#digest(digest);
      if (actual !== digest) {
        throw new DigestMismatchError(`the bytes have digest ${actual}`, { expected: digest, actual });
      }
      await this.#events.publish(digest);
    } finally {
      await this.#drop();
    }
  }

  /** The digest of all bytes, with the algorithm of `expected`. Syncs the file to disk. */
  async #digest(expected: Digest): Promise<Digest> {
    const algorithm = digestAlgorithm(expected);
    const handle = await open(this.#file, 'r+');
    try {
      const running = algorithm === 'sha256' ? this.#hash : undefined;
      const [hash] = await Promise.all([running ?? hashFile(handle, createHash(algorithm)), handle.datasync()]);
      return digestFrom(hash, algorithm);
    } finally {
      await handle.close();
    }
  }

  async #drop(): Promise<void> {
    this.#gone = true;
    this.#events.gone();
    await rm(this.#file, { force: true });
  }
}

/** Completes a write of `bytes` at `position`, of which the kernel wrote only the first `done`. */
async function writeRest(handle: FileHandle, bytes: Buffer, position: number, done: number): Promise<void> {
  while (done < bytes.length) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function hashFile(handle: FileHandle, hash: Hash): Promise<Hash> {
  const block = Buffer.allocUnsafeSlow(READ_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(block, 0, block.length, position);
    if (bytesRead === 0) return hash;
    hash.update(block.subarray(0, bytesRead));
    position += bytesRead;
  }
}
