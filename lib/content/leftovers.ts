import { closeSync, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, tryFlock } from '../sys/index.js';
import type { Digest } from '../spec/index.js';
import { namesIn } from './blobs.js';
import { DATA, INGEST, ingestDigest } from './paths.js';

/** An unfinished write: a download that goes on next time, or a temporary file that nobody needs any more. */
export interface Leftover {
  /** The file or directory to remove to be rid of it. */
  readonly path: string;
  /** Set for a download that can be resumed. */
  readonly digest: Digest | undefined;
  /** Bytes. */
  readonly size: number;
  /** When it last grew. Milliseconds since 1970. */
  readonly modifiedMs: number;
  /** Some process is writing it now. */
  readonly active: boolean;
}

/** All unfinished writes below `root`. */
export async function* listLeftovers(root: string): AsyncGenerator<Leftover> {
  for (const name of await namesIn(join(root, INGEST))) {
    const path = join(root, INGEST, name);
    const digest = ingestDigest(name);
    const data = digest === undefined ? path : join(path, DATA);
    const found = await stat(data).catch(() => undefined);
    yield {
      path,
      digest,
      size: found?.size ?? 0,
      modifiedMs: found?.mtimeMs ?? 0,
      active: found !== undefined && isLocked(data),
    };
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
