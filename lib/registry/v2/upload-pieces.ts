import { Readable } from 'node:stream';
import { SizeMismatchError } from '../../errors.js';
import type { UploadOptions, UploadSource } from '../types.js';

/** A part of a blob. Bytes. */
export interface UploadPiece {
  readonly offset: number;
  readonly length: number;
}

/**
 * Streams a piece of a source. Also passes errors of the source to `onError`, because HTTP wraps them:
 * SizeMismatchError when the source is too short, or the source's own error.
 */
export function pieceStream(
  source: UploadSource,
  piece: UploadPiece,
  options: Pick<UploadOptions, 'signal' | 'onProgress'> & { readonly onError: (error: unknown) => void },
): Readable {
  return Readable.from(piecesOf(source, piece, options), { objectMode: false });
}

async function* piecesOf(
  source: UploadSource,
  { offset, length }: UploadPiece,
  { signal, onProgress, onError }: Parameters<typeof pieceStream>[2],
): AsyncGenerator<Buffer> {
  let left = length;
  let failing = true;
  try {
    const stream = await source.open({ signal, offset });
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const piece = chunk.subarray(0, left);
        left -= piece.length;
        onProgress?.(offset + length - left);
        failing = false;
        yield piece;
        failing = true;
        if (left === 0) return;
      }
    } finally {
      stream.destroy();
    }
    const { digest, size } = source.descriptor;
    const actual = offset + length - left;
    throw new SizeMismatchError(`blob ${digest} has ${actual} bytes, not ${size}`, { expected: size, actual });
  } catch (error) {
    // An interruption from outside is the connection's failure.
    if (failing) onError(error);
    throw error;
  }
}
