import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

const PIECE_BYTES = 256 * 1024;

/** Streams the bytes from `start` to `end` (exclusive) of a file, which stays open. Ends early at the end of the file. */
export function readRange(file: FileHandle, start: number, end: number, signal?: AbortSignal): Readable {
  const pieces = async function* (): AsyncGenerator<Buffer> {
    for (let position = start; position < end;) {
      signal?.throwIfAborted();
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, end - position));
      const { bytesRead } = await file.read(piece, 0, piece.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}
