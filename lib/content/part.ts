import { closeSync, createReadStream, fstatSync } from 'node:fs';
import { readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../sys/index.js';
import { isDigest, type Digest } from '../spec/index.js';
import { diskError } from './disk-error.js';
import { HashingFile } from './hashing-file.js';
import type { LockedFile } from './ingest.js';
import { lockData } from './lock-data.js';
import { partDirectory, STATE } from './paths.js';
import { publish } from './publish.js';
import { createTemporaryFile } from './temporary-file.js';
import type { FinishedPart, Part } from './types.js';

/** The content of `state.json`; `blob` is set when the download has ended. */
interface State {
  readonly key: string;
  readonly begun?: string;
  readonly blob?: { readonly digest: Digest; readonly size: number };
  readonly proofs?: readonly string[];
}

/** Starts or resumes a download; see `ContentStore.beginPart`. */
export async function beginPart(root: string, key: string, signal: AbortSignal): Promise<FilePart> {
  const directory = partDirectory(root, key);
  for (;;) {
    signal.throwIfAborted();
    const file = await lockData(directory);
    if (file === 'gone') continue;
    // A process that waited could not tell whether the result is the one it needs.
    if (file === 'locked') return new FilePart(root, createTemporaryFile(root), undefined);
    const part = new FilePart(root, file, { key, directory });
    try {
      await writeState(directory, { key, begun: new Date().toISOString() });
      await part.resume(signal);
      return part;
    } catch (error) {
      closeSync(file.fd);
      throw diskError(error, file.path);
    }
  }
}

/** The result of a download; see `ContentStore.finishedPart`. */
export async function finishedPart(root: string, key: string): Promise<FinishedPart | undefined> {
  try {
    const state = JSON.parse(await readFile(join(partDirectory(root, key), STATE), 'utf8')) as State;
    const { blob, proofs = [] } = state;
    if (state.key !== key || !isDigest(blob?.digest) || !Number.isSafeInteger(blob.size)) return undefined;
    return { digest: blob.digest, size: blob.size, proofs: proofs.map(String) };
  } catch {
    // The record is only a hint, so an unreadable one counts as absent.
    return undefined;
  }
}

/** Forgets a download; see `ContentStore.forgetPart`. */
export async function forgetPart(root: string, key: string): Promise<void> {
  const directory = partDirectory(root, key);
  if ((await readFile(join(directory, STATE)).catch(() => undefined)) === undefined) return;
  const file = await lockData(directory);
  if (file === 'locked') return;
  if (file === 'gone') return removePart(directory);
  try {
    await rm(file.path, { force: true });
    await removePart(directory);
  } finally {
    closeSync(file.fd);
  }
}

async function writeState(directory: string, state: State): Promise<void> {
  await writeFile(join(directory, STATE), JSON.stringify(state), { mode: 0o600 });
}

/** Keeps the data of another process that has started the download again. */
async function removePart(directory: string): Promise<void> {
  await rm(join(directory, STATE), { force: true });
  await rmdir(directory).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw diskError(error, directory);
  });
}

/**
 * A download identified by a key; see `Part`. Takes ownership of `file` and closes it. Without `home` it is a temporary
 * file and not kept.
 */
class FilePart implements Part {
  readonly #root: string;
  readonly #file: LockedFile;
  readonly #home: { readonly key: string; readonly directory: string } | undefined;
  readonly #bytes: HashingFile;
  #open = true;

  constructor(root: string, file: LockedFile, home: { readonly key: string; readonly directory: string } | undefined) {
    this.#root = root;
    this.#file = file;
    this.#home = home;
    this.#bytes = new HashingFile(file, 'sha256');
  }

  get offset(): number {
    return this.#bytes.length;
  }

  /** Continues after the bytes of an earlier run. */
  async resume(signal: AbortSignal): Promise<void> {
    await this.#bytes.resume(fstatSync(this.#file.fd).size, signal);
  }

  async *read(): AsyncGenerator<Buffer> {
    await this.#bytes.flush();
    if (this.offset === 0) return;
    yield* createReadStream(this.#file.path, { end: this.offset - 1 }) as AsyncIterable<Buffer>;
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#bytes.write(chunk);
  }

  async restart(): Promise<void> {
    await this.#bytes.restart();
    await this.#bytes.trim();
  }

  async commit({
    proofs,
    blob,
  }: {
    readonly proofs: readonly string[];
    readonly blob?: { readonly digest: Digest; readonly size: number };
  }): Promise<{ readonly digest: Digest; readonly size: number }> {
    await this.#bytes.flush();
    const made = blob ?? { digest: this.#bytes.digest(), size: this.offset };
    try {
      // Written before the bytes move, so that a process that finds no blob still finds the bytes here.
      if (this.#home !== undefined) {
        await writeState(this.#home.directory, { key: this.#home.key, blob: made, proofs });
      }
      if (blob === undefined) await publish(this.#root, this.#file, made);
      else await rm(this.#file.path, { force: true });
    } catch (error) {
      throw diskError(error, this.#file.path);
    }
    this.#close();
    return made;
  }

  async release(): Promise<void> {
    if (!this.#open) return;
    try {
      if (this.#home === undefined) await rm(this.#file.path, { force: true });
      // Bytes that could not be written are fetched again.
      else await this.#bytes.flush().catch(() => undefined);
    } finally {
      this.#close();
    }
  }

  #close(): void {
    if (this.#open) closeSync(this.#file.fd);
    this.#open = false;
  }
}
