import { closeSync, openSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, tryFlock } from '../sys/index.js';
import type { Digest } from '../spec/index.js';
import { namesIn } from './blobs.js';
import { DATA, INGEST, ingestDigest, isPart, STATE } from './paths.js';

/** An unfinished write: a download that can be resumed, or a temporary file of a dead process. */
export interface Leftover {
  /** The file or directory to remove. */
  readonly path: string;
  /** The digest, for a resumable download with a known digest. */
  readonly digest: Digest | undefined;
  /** A resumable download identified by the caller's key, or (without bytes) the record of its result. */
  readonly isPart: boolean;
  /** That key, if it is readable. */
  readonly key?: string;
  /** Size in bytes. */
  readonly size: number;
  /** Time of the last write, in ms since 1970. */
  readonly modifiedMs: number;
  /** A process is writing it now. */
  readonly active: boolean;
}

/** All unfinished writes below `root`. */
export async function* listLeftovers(root: string): AsyncGenerator<Leftover> {
  for (const name of await namesIn(join(root, INGEST))) {
    const path = join(root, INGEST, name);
    const digest = ingestDigest(name);
    const part = isPart(name);
    const data = digest === undefined && !part ? path : join(path, DATA);
    const found = await stat(data).catch(() => undefined);
    const noted = part && found === undefined ? await stat(join(path, STATE)).catch(() => undefined) : undefined;
    yield {
      path,
      digest,
      isPart: part,
      ...(part ? await keyOf(path) : {}),
      size: found?.size ?? 0,
      modifiedMs: (found ?? noted)?.mtimeMs ?? 0,
      active: found !== undefined && isLocked(data),
    };
  }
}

async function keyOf(path: string): Promise<{ readonly key?: string }> {
  try {
    const { key } = JSON.parse(await readFile(join(path, STATE), 'utf8')) as { key?: unknown };
    return typeof key === 'string' ? { key } : {};
  } catch {
    return {};
  }
}

function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EISDIR')) return false;
    throw error;
  }
  try {
    return !tryFlock(fd, 'shared');
  } finally {
    closeSync(fd);
  }
}
