import { closeSync, constants } from 'node:fs';
import { isErrno, openAt, readBytes, type SysPath } from '../sys/index.js';

/** Part of a file. Bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A regular file: a name in an open directory. */
export interface FilePlace {
  readonly dir: number;
  readonly name: SysPath;
  /** Its path in the tree, for errors. */
  readonly path: SysPath;
}

const BLOCK = 1 << 20;
/** Buffers shared by all comparisons, which keep nothing in them across a yield. */
let blocks: readonly [Buffer, Buffer] | undefined;

/**
 * Returns true when two files of the same `size` have the same bytes, or the same bytes in `ranges`. Yields between
 * blocks of 1 MiB. Throws SyscallError.
 */
export function* contentEqual(
  a: FilePlace,
  b: FilePlace,
  size: number,
  ranges: readonly ByteRange[] = [{ offset: 0, length: size }],
): Generator<void, boolean> {
  const [left, right] = (blocks ??= [Buffer.allocUnsafeSlow(BLOCK), Buffer.allocUnsafeSlow(BLOCK)]);
  const fdA = openFile(a);
  try {
    const fdB = openFile(b);
    try {
      for (const range of ranges) {
        const end = Math.min(size, range.offset + range.length);
        for (let at = range.offset; at < end; at += BLOCK) {
          const length = Math.min(BLOCK, end - at);
          const got = [readFully(fdA, left, at, length, a.path), readFully(fdB, right, at, length, b.path)];
          if (got[0] !== got[1] || left.compare(right, 0, got[1], 0, got[0]) !== 0) return false;
          if (length === BLOCK) yield;
        }
      }
      return true;
    } finally {
      closeSync(fdB);
    }
  } finally {
    closeSync(fdA);
  }
}

function openFile({ dir, name }: FilePlace): number {
  // O_NONBLOCK avoids blocking if the file has been replaced by a fifo.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return openAt(dir, name, flags | constants.O_NOATIME);
  } catch (error) {
    if (!isErrno(error, 'EPERM')) throw error;
    return openAt(dir, name, flags);
  }
}

function readFully(fd: number, into: Buffer, position: number, length: number, path: SysPath): number {
  let done = 0;
  while (done < length) {
    const got = readBytes(fd, into, { offset: done, length: length - done, position: position + done, path });
    if (got === 0) break;
    done += got;
  }
  return done;
}
