import { closeSync } from 'node:fs';
import { rm, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DigestMismatchError, SizeMismatchError } from '../errors.js';
import { digestAlgorithm, type Descriptor } from '../spec/index.js';
import { GrowingFile } from '../util/index.js';
import { diskError } from './disk-error.js';
import { HashingFile } from './hashing-file.js';
import { STATE } from './paths.js';
import { publish } from './publish.js';
import type { Ingest } from './types.js';

/** The open data file of a download, locked by this ingest. */
export interface LockedFile {
  readonly fd: number;
  readonly path: string;
}

/** A download into the store; see `Ingest`. Takes ownership of `file` and closes it. */
export class FileIngest implements Ingest {
  readonly descriptor: Descriptor;
  readonly growing = new GrowingFile();
  readonly path: string;
  readonly #root: string;
  readonly #fd: number;
  readonly #file: HashingFile;
  #open = true;

  constructor(root: string, descriptor: Descriptor, file: LockedFile) {
    this.descriptor = descriptor;
    this.path = file.path;
    this.#root = root;
    this.#fd = file.fd;
    this.#file = new HashingFile(file, digestAlgorithm(descriptor.digest), (length) => this.growing.advance(length));
  }

  get offset(): number {
    return this.#file.length;
  }

  /** Continues after `length` bytes of an earlier run. */
  resume(length: number, signal: AbortSignal): Promise<void> {
    return this.#file.resume(length, signal);
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { digest, size } = this.descriptor;
    const length = this.offset + chunk.length;
    if (length > size) {
      throw new SizeMismatchError(`blob ${digest} is longer than the ${size} bytes stated by its manifest`, {
        expected: size,
        actual: length,
      });
    }
    await this.#file.write(chunk);
  }

  restart(): Promise<void> {
    if (this.offset > 0) this.growing.fail();
    return this.#file.restart();
  }

  async commit(): Promise<void> {
    const { digest, size } = this.descriptor;
    await this.#file.flush();
    const length = this.offset;
    if (length !== size) {
      await this.restart();
      throw new SizeMismatchError(`blob ${digest} has ${length} bytes, not the ${size} stated by its manifest`, {
        expected: size,
        actual: length,
      });
    }
    const actual = this.#file.digest();
    if (actual !== digest) {
      await this.restart();
      throw new DigestMismatchError(`blob ${digest} came with digest ${actual}`, {
        expected: digest,
        actual,
        hint: 'the registry or a proxy altered the data; none of it was kept',
      });
    }
    try {
      await this.#file.trim();
      await publish(this.#root, { fd: this.#fd, path: this.path }, { digest, size });
    } catch (error) {
      throw diskError(error, this.path);
    }
    this.growing.finish();
    this.#close();
    await removeIngestDirectory(dirname(this.path));
  }

  async release(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.growing.fail();
    try {
      // A full disk loses the last part, but not the data written before.
      await this.#file.flush().catch(() => undefined);
      await this.#file.trim();
      if (this.offset === 0) {
        await unlink(this.path);
        await removeIngestDirectory(dirname(this.path));
      }
    } finally {
      closeSync(this.#fd);
    }
  }

  #close(): void {
    this.#open = false;
    closeSync(this.#fd);
  }
}

/** Removes an ingest's directory unless another process has started to use it again. */
export async function removeIngestDirectory(directory: string): Promise<void> {
  await rm(join(directory, STATE), { force: true });
  // Not empty: it contains another process's data.
  await rmdir(directory).catch(() => undefined);
}
