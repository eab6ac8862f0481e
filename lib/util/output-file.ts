import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import { TEMPORARY_PREFIX } from './atomic-file.js';

/** A file that the user asked for, while it is written. */
export interface OutputFile {
  readonly stream: Writable;
  /** Gives it its name, after `stream` has finished. */
  keep(): Promise<void>;
  /** Removes what was written unless it was kept. Idempotent. */
  discard(): Promise<void>;
}

/**
 * Opens `path` for writing: a new file beside it, which takes its name in the end, so that a failure leaves what was
 * there; a device or pipe is written to directly. Throws UsageError when it cannot be opened.
 */
export async function createOutputFile(path: string): Promise<OutputFile> {
  try {
    const there = await stat(path).catch(() => undefined);
    const isFile = there === undefined || there.isFile();
    const target = isFile
      ? join(dirname(path), `${TEMPORARY_PREFIX}${basename(path).slice(0, 200)}-${randomBytes(6).toString('hex')}`)
      : path;
    const file = await open(target, isFile ? 'wx' : 'w', there === undefined ? 0o666 : there.mode & 0o777);
    let kept = !isFile;
    return {
      stream: file.createWriteStream(),
      async keep() {
        if (!kept) await rename(target, path);
        kept = true;
      },
      async discard() {
        await file.close().catch(() => undefined);
        if (!kept) await rm(target, { force: true });
        kept = true;
      },
    };
  } catch (error) {
    throw new UsageError(`${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
}
