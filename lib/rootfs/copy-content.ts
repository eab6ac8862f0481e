import { copyFileSync, constants, ftruncateSync, readSync, writeSync } from 'node:fs';
import { fdPath, isErrno } from '../sys/index.js';

const BLOCK = 1 << 20;
const ZEROS = Buffer.alloc(BLOCK);

/**
 * Copies the content of the open file `from` into the empty open file `to`, with shared extents where the file systems
 * support them, else block by block with holes preserved. A generator, so that the caller can do other work between
 * steps. Throws node's system errors.
 */
export function* copyContent(from: number, to: number, size: bigint): Generator<void, void> {
  if (size === 0n) return;
  try {
    copyFileSync(fdPath(from), fdPath(to), constants.COPYFILE_FICLONE_FORCE);
    return;
  } catch (error) {
    if (!isErrno(error, 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY')) throw error;
  }
  const block = Buffer.allocUnsafe(BLOCK);
  let at = 0;
  for (;;) {
    const length = readSync(from, block, 0, BLOCK, at);
    if (length === 0) break;
    if (!block.subarray(0, length).equals(ZEROS.subarray(0, length)))
      for (let done = 0; done < length;) done += writeSync(to, block, done, length - done, at + done);
    at += length;
    yield;
  }
  ftruncateSync(to, at);
}
