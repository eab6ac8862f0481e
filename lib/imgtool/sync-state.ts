import { appendFile, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StoreError } from '../errors.js';
import type { DeletedTag, SyncMemory } from '../operations/index.js';
import { homeDirectory, makeDirectory, writeFileAtomic } from '../util/index.js';

/** Maximum number of facts; the oldest are dropped first. */
const MAX_FACTS = 50_000;
/** Interval between saves in ms; a kill loses the changes since the last one. */
const SAVE_MS = 10_000;

/** `SyncMemory` in a file in the user's cache directory; an unusable file is replaced. */
export class SyncMemoryFile implements SyncMemory {
  readonly #path: string;
  readonly #facts: Map<string, string>;
  #changed = false;

  private constructor(path: string, facts: Map<string, string>) {
    this.#path = path;
    this.#facts = facts;
  }

  /** Reads the file of earlier runs. */
  static async open(env: NodeJS.ProcessEnv): Promise<SyncMemoryFile> {
    const path = join(xdg(env, 'XDG_CACHE_HOME', '.cache'), 'imgtool/sync.json');
    const facts = new Map<string, string>();
    try {
      const { version, facts: kept } = JSON.parse(await readFile(path, 'utf8')) as {
        version?: unknown;
        facts?: object;
      };
      for (const [key, value] of Object.entries(version === 1 ? (kept ?? {}) : {}))
        if (typeof value === 'string') facts.set(key, value);
    } catch {
      // Missing or unusable: this only costs time.
    }
    return new SyncMemoryFile(path, facts);
  }

  get(key: string): string | undefined {
    return this.#facts.get(key);
  }

  set(key: string, value: string): void {
    this.#facts.delete(key);
    this.#facts.set(key, value);
    this.#changed = true;
    if (this.#facts.size > MAX_FACTS) this.#facts.delete(this.#facts.keys().next().value!);
  }

  /** Saves now and then, in case the process is killed. The returned function saves once more and stops. */
  keep(): () => Promise<void> {
    const timer = setInterval(() => void this.save(), SAVE_MS).unref();
    return async () => {
      clearInterval(timer);
      await this.save();
    };
  }

  /** Saves for the next run. Ignores a cache that cannot be written. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    try {
      makeDirectory(dirname(this.#path));
      await writeFileAtomic(this.#path, JSON.stringify({ version: 1, facts: Object.fromEntries(this.#facts) }));
    } catch {
      this.#changed = true;
      // The home directory may be full or read-only; the next run then asks again.
    }
  }
}

/** File for removed tags, with one JSON document per line. */
export function deletedTagsPath(env: NodeJS.ProcessEnv): string {
  return join(xdg(env, 'XDG_STATE_HOME', '.local/state'), 'imgtool/deleted-tags.ndjson');
}

/** Saves a tag that is about to be removed, manifest included, so that it can be restored. Throws StoreError. */
export async function keepDeletedTag(path: string, { target, tag, manifest }: DeletedTag): Promise<void> {
  const { digest, mediaType } = manifest.descriptor;
  const entry = { time: new Date().toISOString(), target, tag, digest, mediaType };
  const line = JSON.stringify({ ...entry, manifest: manifest.bytes.toString('base64') });
  try {
    makeDirectory(dirname(path));
    await appendFile(path, `${line}\n`, { mode: 0o600, flush: true });
  } catch (error) {
    throw new StoreError(`cannot keep a record of what is removed in ${path}: ${(error as Error).message}`, {
      path,
      cause: error,
    });
  }
}

/** The XDG base directory specification says to ignore relative paths. */
function xdg(env: NodeJS.ProcessEnv, variable: string, fallback: string): string {
  const value = env[variable];
  return value?.startsWith('/') === true ? value : join(homeDirectory(env), fallback);
}
