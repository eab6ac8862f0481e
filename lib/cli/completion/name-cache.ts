import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { homeDirectory, makeDirectory, writeFileAtomic } from '../../util/index.js';

/** Lifetime of a registry's answer, and of a timeout, in ms. */
const FRESH_MS = 5 * 60_000;
const FAILED_MS = 10_000;
/** Limits on cached lists and on names in each. */
const MAX_LISTS = 50;
const MAX_NAMES = 5_000;

interface Kept {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Absent when the registry did not answer in time. */
  readonly names?: readonly string[];
}

/**
 * Caches the names that registries return in a file in the user's cache directory. A missing, damaged or unwritable
 * file only costs time.
 */
export class NameCache {
  readonly #path: string;

  constructor(env: NodeJS.ProcessEnv) {
    const { XDG_CACHE_HOME: given } = env;
    const cache = given?.startsWith('/') === true ? given : join(homeDirectory(env), '.cache');
    this.#path = join(cache, 'imgtool/completion.json');
  }

  /** The names cached under `key`, or those that `ask` resolves with; [] when it fails. */
  async names(key: string, ask: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const kept = (await this.#read()).get(key);
    if (kept !== undefined) return kept.names ?? [];
    let names: readonly string[] | undefined;
    try {
      names = (await ask()).slice(0, MAX_NAMES);
    } catch {
      // Asked again later.
    }
    await this.#keep(key, { at: Date.now(), ...(names === undefined ? {} : { names }) });
    return names ?? [];
  }

  async #read(): Promise<Map<string, Kept>> {
    try {
      const document: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      const now = Date.now();
      return new Map(
        Object.entries(document as object).filter((entry): entry is [string, Kept] => isKept(entry[1], now)),
      );
    } catch {
      return new Map();
    }
  }

  async #keep(key: string, kept: Kept): Promise<void> {
    try {
      const lists = [...(await this.#read()).entries()].filter(([other]) => other !== key).slice(1 - MAX_LISTS);
      if (!(await isOwn(dirname(dirname(this.#path))))) return;
      makeDirectory(dirname(this.#path));
      await writeFileAtomic(this.#path, JSON.stringify(Object.fromEntries([...lists, [key, kept]])));
    } catch {
      // The home directory may be full or read-only.
    }
  }
}

function isKept(value: unknown, now: number): value is Kept {
  if (typeof value !== 'object' || value === null) return false;
  const { at, names } = value as { at?: unknown; names?: unknown };
  if (typeof at !== 'number' || at > now) return false;
  if (names === undefined) return now - at < FAILED_MS;
  return now - at < FRESH_MS && Array.isArray(names) && names.every((name) => typeof name === 'string');
}

/** With another user's HOME (sudo), writes nothing that this user could not remove. */
async function isOwn(directory: string): Promise<boolean> {
  for (let at = directory; ; at = dirname(at)) {
    try {
      return (await stat(at)).uid === process.geteuid!();
    } catch {
      if (dirname(at) === at) return false;
    }
  }
}
