import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, tryFlock } from '../sys/index.js';
import { makeDirectory } from '../util/index.js';
import { statBlob } from './blobs.js';
import { listLeftovers } from './leftovers.js';
import { INGEST } from './paths.js';

/**
 * Creates a file in `ingest/` for bytes whose digest is not known yet. It is locked while its descriptor is open, which
 * tells `sweepTemporaryFiles` that it is in use. The caller closes it.
 */
export function createTemporaryFile(root: string): { readonly fd: number; readonly path: string } {
  makeDirectory(join(root, INGEST));
  for (;;) {
    const path = join(root, INGEST, `tmp-${randomBytes(12).toString('hex')}`);
    const fd = openSync(path, 'wx', 0o600);
    // Between the two calls, a sweep may have removed the file as abandoned.
    if (tryFlock(fd, 'exclusive') && fstatSync(fd).nlink > 0) return { fd, path };
    closeSync(fd);
  }
}

/**
 * Removes the temporary files of dead processes. Keeps unfinished downloads for resuming unless their blob exists: the
 * process died between publishing and cleaning up, or another one was faster.
 */
export async function sweepTemporaryFiles(root: string): Promise<void> {
  for await (const { path, digest, isPart, active } of listLeftovers(root)) {
    if (active || isPart) continue;
    if (digest !== undefined) {
      if ((await statBlob(root, digest)) !== undefined) await rm(path, { recursive: true, force: true });
      continue;
    }
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'EISDIR')) continue;
      throw error;
    }
    try {
      if (tryFlock(fd, 'exclusive')) await unlink(path).catch(() => undefined);
    } finally {
      closeSync(fd);
    }
  }
}
