import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UsageError } from '../errors.js';
import { tryFlock } from '../sys/index.js';
import { delay, makeDirectory, TEMPORARY_PREFIX, readIfPresent } from '../util/index.js';

const POLL_MS = { first: 10, most: 200 } as const;
/** Temporary files of `write`, and of writeFileAtomic for the files of a layout. */
const OWN_TEMPORARY = /^\.new-([0-9a-f]{24}|(index\.json|oci-layout|manifest\.json|version)-[0-9a-f]{12})$/;

/**
 * A directory to which several processes write images. Complete files are renamed into place, lists are changed under a
 * lock on the directory, and the next writer removes the remains of killed ones.
 */
export class SharedDirectory {
  readonly path: string;
  readonly #signal: AbortSignal;

  /** Creates the directory if missing. Throws UsageError. */
  constructor(path: string, signal: AbortSignal) {
    try {
      makeDirectory(path, 0o777);
    } catch (error) {
      throw new UsageError(`cannot create ${path}: ${(error as Error).message}`, { cause: error });
    }
    this.path = path;
    this.#signal = signal;
  }

  /** Writes a file and syncs it to disk before it gets its name. `name`: path in the directory. */
  async write(name: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const target = join(this.path, name);
    makeDirectory(dirname(target), 0o777);
    const { path, file } = await this.#temporary();
    try {
      for await (const chunk of content) await file.writeFile(chunk);
      await file.sync();
      await rename(path, target);
    } catch (error) {
      await unlink(path).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Removes the remains of dead writers. Must be called under the lock, when temporary files of lists have no owner. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.path)) {
      if (!OWN_TEMPORARY.test(name)) continue;
      const path = join(this.path, name);
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
        () => undefined,
      );
      if (file === undefined) continue;
      try {
        if (tryFlock(file.fd, 'exclusive')) await unlink(path).catch(() => undefined);
      } finally {
        await file.close();
      }
    }
  }

  /** Runs `work` exclusively among all processes. Throws AbortError. */
  async locked(work: () => Promise<void>): Promise<void> {
    const directory = await open(this.path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (let pollMs: number = POLL_MS.first; !tryFlock(directory.fd, 'exclusive'); pollMs *= 2) {
        await delay(Math.min(pollMs, POLL_MS.most), this.#signal);
      }
      await work();
    } finally {
      await directory.close();
    }
  }

  /** The bytes of a file; undefined when it does not exist. */
  readIfThere(name: string): Promise<Buffer | undefined> {
    return readIfPresent(join(this.path, name));
  }

  /** Creates a file that is locked while it is open, which tells a sweep that it is in use. */
  async #temporary(): Promise<{ readonly path: string; readonly file: FileHandle }> {
    for (;;) {
      const path = join(this.path, `${TEMPORARY_PREFIX}${randomBytes(12).toString('hex')}`);
      const file = await open(path, 'wx', 0o644);
      // Between the two calls, a sweep may have removed the file as abandoned.
      if (tryFlock(file.fd, 'exclusive') && (await file.stat()).nlink > 0) return { path, file };
      await file.close();
    }
  }
}
