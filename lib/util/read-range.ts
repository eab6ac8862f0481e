import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

const PIECE_BYTES = 256 * 1024;

/** Streams the bytes `start` to `end` (excluded) of a file that stays open whatever becomes of the stream; ends early at the file's end. */
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
