import { randomBytes } from 'node:crypto';
import { lstat, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { TEMPORARY_PREFIX } from './atomic-file.js';
import { fileError } from './file-error.js';

/** A file requested by the user, while it is written. */
export interface OutputFile {
  readonly stream: Writable;
  /** Gives the file its name. Call it after `stream` has finished. */
  keep(): Promise<void>;
  /** Removes the file unless it was kept. Idempotent. */
  discard(): Promise<void>;
}

/**
 * Opens `path` for writing: a new file beside the target of `path`, which replaces that target on success, so that a
 * failure leaves the old file. Writes directly to devices, pipes and dangling links; a link is never replaced. Throws
 * UsageError when it cannot be opened.
 */
export async function createOutputFile(path: string): Promise<OutputFile> {
  try {
    const there = await stat(path).catch(() => undefined);
    const place = await realpath(path).catch(() => undefined);
    const isLink = place === undefined && (await lstat(path).catch(() => undefined)) !== undefined;
    const isDirect = isLink || there?.isFile() === false;
    const final = place ?? path;
    const target = isDirect
      ? path
      : join(dirname(final), `${TEMPORARY_PREFIX}${basename(final).slice(0, 200)}-${randomBytes(6).toString('hex')}`);
    const file = await open(target, isDirect ? 'w' : 'wx', there === undefined ? 0o666 : there.mode & 0o777);
    let kept = isDirect;
    return {
      stream: file.createWriteStream(),
      async keep() {
        if (!kept) await rename(target, final);
        kept = true;
      },
      async discard() {
        await file.close().catch(() => undefined);
        if (!kept) await rm(target, { force: true });
        kept = true;
      },
    };
  } catch (error) {
    throw fileError(path, 'written', error);
  }
}
