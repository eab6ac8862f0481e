import { readSync } from 'node:fs';
import type { OpenContent } from '../../rootfs/index.js';

const BLOCK = 256 * 1024;

/** A piece of a file: bytes, or the length of a hole. */
type ContentPiece = { readonly bytes: Buffer } | { readonly zeros: number };

/** Data and holes of a file in order. Reuses the buffer for each piece. Throws node's system errors. */
export function* contentPieces({ fd, offset, size, regions }: OpenContent): Generator<ContentPiece> {
  const block = Buffer.allocUnsafe(Math.min(BLOCK, Math.max(1, size)));
  const map = regions ?? [0, size];
  let from = offset;
  let at = 0;
  for (let index = 0; index < map.length; index += 2) {
    if (map[index]! > at) yield { zeros: map[index]! - at };
    let left = map[index + 1]!;
    at = map[index]! + left;
    while (left > 0) {
      const length = readSync(fd, block, 0, Math.min(left, block.length), from);
      if (length === 0) throw new RangeError('a file became shorter while it was read');
      yield { bytes: block.subarray(0, length) };
      from += length;
      left -= length;
    }
  }
  if (size > at) yield { zeros: size - at };
}

/** Reads a small file and closes it. */
export function readContent(content: OpenContent): Buffer {
  try {
    return Buffer.concat([...copies(content)]);
  } finally {
    content.close();
  }
}

function* copies(content: OpenContent): Generator<Buffer> {
  for (const piece of contentPieces(content)) {
    yield 'bytes' in piece ? Buffer.from(piece.bytes) : Buffer.alloc(piece.zeros);
  }
}
