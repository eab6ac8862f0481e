import {
  closeSync,
  constants,
  ftruncateSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { delay } from '../util/index.js';
import { parseLimitState, sharedClock, type LimitState } from './limit-state.js';

/** Computes the next state; undefined: no limit. */
export type Change = (state: LimitState | undefined) => LimitState | undefined;

/** How long the result of checking a file is reused. Milliseconds. */
const FRESH_MS = 20;
/** Attempts to take a lock, which other processes hold for microseconds. */
const LOCK_TRIES = 50;
const LOCK_WAIT_MS = 4;
const MAX_BYTES = 4096;
const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * The limits of hosts, shared with the user's other processes through small files in a private directory. Without a
 * usable directory, keeps them in this process. Never throws or waits long.
 */
export class LimitStore {
  readonly #directory: string | undefined;
  readonly #own = new Map<string, LimitState>();
  readonly #seen = new Map<string, { readonly at: number; readonly limited: boolean }>();

  constructor(directory: string | undefined) {
    this.#directory = directory;
  }

  /** True when a limit of `host` may be known. Costs at most one stat(2) per 20 ms. */
  mayLimit(host: string): boolean {
    if (this.#own.has(host)) return true;
    if (this.#directory === undefined) return false;
    const now = performance.now();
    const seen = this.#seen.get(host);
    if (seen !== undefined && now - seen.at < FRESH_MS) return seen.limited;
    const limited = sizeOf(this.#fileOf(this.#directory, host)) > 0;
    this.#seen.set(host, { at: now, limited });
    return limited;
  }

  /** Changes the state of `host`, exclusively among all processes. */
  async update(host: string, change: Change): Promise<LimitState | undefined> {
    const shared = this.#directory === undefined ? undefined : await this.#updateFile(this.#directory, host, change);
    if (shared !== undefined) {
      this.#own.delete(host);
      this.#seen.set(host, { at: performance.now(), limited: shared.state !== undefined });
      return shared.state;
    }
    const state = change(this.#own.get(host));
    if (state === undefined) this.#own.delete(host);
    else this.#own.set(host, state);
    return state;
  }

  #fileOf(directory: string, host: string): string {
    return join(directory, `limits-${encodeURIComponent(host).slice(0, 200)}.json`);
  }

  /** Undefined: the file is unusable. */
  async #updateFile(
    directory: string,
    host: string,
    change: Change,
  ): Promise<{ readonly state: LimitState | undefined } | undefined> {
    let fd: number | undefined;
    try {
      if (!isPrivate(directory)) return undefined;
      const path = this.#fileOf(directory, host);
      fd = createFile(path);
      if (fd !== undefined) {
        // An empty file counts as no limit, so there is nothing to wait for.
        const state = change(undefined);
        if (state !== undefined) writeSync(fd, JSON.stringify(state), 0);
        return { state };
      }
      fd = openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
      if (!fstatSync(fd).isFile() || !(await isLocked(fd))) return undefined;
      const state = change(parseLimitState(read(fd), sharedClock()));
      const text = state === undefined ? '' : JSON.stringify(state);
      writeSync(fd, text, 0);
      ftruncateSync(fd, text.length);
      return { state };
    } catch {
      return undefined;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
}

/** Creates the directory (but not its parents) if missing. False when other users may write to it. */
function isPrivate(directory: string): boolean {
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) makeDirectory(directory);
  const stat = lstatSync(directory);
  return stat.isDirectory() && stat.uid === process.geteuid?.() && (stat.mode & 0o022) === 0;
}

/** Tolerates that another process creates it first. */
function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}

/** Undefined: it exists. */
function createFile(path: string): number | undefined {
  try {
    return openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

async function isLocked(fd: number): Promise<boolean> {
  const { tryFlock } = await import('../sys/index.js');
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    if (tryFlock(fd, 'exclusive')) return true;
    await delay(LOCK_WAIT_MS);
  }
  return false;
}

function read(fd: number): string {
  const buffer = Buffer.alloc(MAX_BYTES);
  return buffer.toString('utf8', 0, readSync(fd, buffer, 0, MAX_BYTES, 0));
}
