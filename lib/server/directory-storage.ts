import { mkdir, open, readdir, readFile, rm, type FileHandle } from 'node:fs/promises';
import { isDiskFull, StoreError } from '../errors.js';
import { tryFlock } from '../sys/index.js';
import { makeDirectory, unless } from '../util/index.js';
import { DirectoryLayout, LAYOUT_VERSION } from './directory-layout.js';
import { DirectoryReader } from './directory-reader.js';
import { DirectoryWriter } from './directory-writer.js';
import type { RegistryStorage, RegistryWriter, TagListener } from './types.js';
import { DirectoryV1 } from './v1/directory-v1.js';
import type { V1Storage } from './v1/types.js';

const HOUR_MS = 3_600_000;

export interface DirectoryStorageOptions {
  /** Created if missing, unless `readOnly`. */
  readonly dir: string;
  /** Makes no changes and takes no lock, so that it works beside a writing server. @default false */
  readonly readOnly?: boolean;
  /** Age in ms after which an idle upload session is dropped. @default 24 hours */
  readonly uploadExpiryMs?: number;
}

/**
 * Opens a registry directory (docs/embedded-registry.md, "Layout"); for writing, locks it for this process. Throws
 * StoreError when it has an unknown version, is in use by another server, contains something else, or cannot be
 * created.
 */
export async function openDirectoryStorage(options: DirectoryStorageOptions): Promise<RegistryStorage> {
  const layout = new DirectoryLayout(options.dir);
  if (options.readOnly === true) {
    checkVersion(await unless(readFile(layout.versionFile, 'utf8')), layout);
    return new DirectoryStorage(layout, undefined);
  }
  const lock = await lockDirectory(layout);
  try {
    await rm(layout.temporary, { recursive: true, force: true });
    await mkdir(layout.temporary);
  } catch (error) {
    await lock.close();
    throw error;
  }
  return new DirectoryStorage(layout, { lock, uploadExpiryMs: options.uploadExpiryMs ?? 24 * HOUR_MS });
}

class DirectoryStorage extends DirectoryReader implements RegistryStorage {
  readonly writer?: RegistryWriter;
  readonly v1: V1Storage;
  readonly onTag?: (listener: TagListener) => void;
  readonly #lock: FileHandle | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #stop = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();
  /** Valid while this process is the only writer. Computing it reads all directories. */
  #repositories: Promise<readonly string[]> | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    layout: DirectoryLayout,
    writable: { readonly lock: FileHandle; readonly uploadExpiryMs: number } | undefined,
  ) {
    super(layout);
    if (writable === undefined) {
      this.v1 = new DirectoryV1(layout);
      return;
    }
    const writer = new DirectoryWriter(layout, this, () => (this.#repositories = undefined));
    this.v1 = new DirectoryV1(layout, (file, digest, link) => writer.publishTo(file, digest, link));
    this.writer = writer;
    this.onTag = (listener) => writer.onTag(listener);
    this.#lock = writable.lock;
    const sweep = (): void => {
      // The next sweep retries what this one cannot remove.
      this.#sweeping = writer.sweep(Date.now() - writable.uploadExpiryMs, this.#stop.signal).catch(() => undefined);
    };
    this.#timer = setInterval(sweep, Math.min(HOUR_MS, writable.uploadExpiryMs)).unref();
    sweep();
  }

  override repositories(): Promise<readonly string[]> {
    if (this.writer === undefined) return super.repositories();
    const found = (this.#repositories ??= super.repositories());
    found.catch(() => (this.#repositories = undefined));
    return found;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#sweeping;
    await this.#lock?.close();
  }
}

/** The entries of the directory, which is created if missing. */
async function listed(root: string): Promise<string[]> {
  try {
    makeDirectory(root);
    return await readdir(root);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (isDiskFull(cause)) throw cause;
    const hint = 'choose another directory with --dir';
    throw new StoreError(`${root} cannot be used as a registry directory: ${code ?? message}`, {
      path: root,
      hint,
      cause,
    });
  }
}

/** The version file is also the lock, which the kernel releases when the process dies. */
async function lockDirectory(layout: DirectoryLayout): Promise<FileHandle> {
  const names = await listed(layout.root);
  if (names.length > 0 && !names.includes('registry.json')) {
    throw new StoreError(`${layout.root} is not empty and contains no registry`, {
      path: layout.root,
      hint: 'choose an empty or a new directory with --dir',
    });
  }
  const lock = await open(layout.versionFile, 'a+');
  try {
    if (!tryFlock(lock.fd, 'exclusive')) {
      throw new StoreError(`${layout.root} is in use by another server`, {
        path: layout.root,
        hint: 'stop that server, or serve with --read-only beside it',
      });
    }
    const version = await readFile(layout.versionFile, 'utf8');
    // Empty: new, or left by a crash just after its creation.
    if (version === '') await lock.writeFile(`${JSON.stringify({ version: LAYOUT_VERSION })}\n`);
    else checkVersion(version, layout);
    await lock.datasync();
    return lock;
  } catch (error) {
    await lock.close();
    throw error;
  }
}

function checkVersion(text: string | undefined, layout: DirectoryLayout): void {
  if (text === undefined) throw new StoreError(`${layout.root} contains no registry`, { path: layout.root });
  let version: unknown;
  try {
    version = (JSON.parse(text) as { version?: unknown } | null)?.version;
  } catch {
    version = undefined;
  }
  if (version === LAYOUT_VERSION) return;
  throw new StoreError(`${layout.root} is a registry of an unknown version: ${JSON.stringify(version)}`, {
    path: layout.root,
    hint: 'use the version of imgtool that wrote it, or another directory',
  });
}
