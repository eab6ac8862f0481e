import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DiskSpaceError, isDiskFull, LayerFormatError } from '../../errors.js';
import { openTemporary, readRange } from '../../util/index.js';
import {
  COMPRESSION_HEAD_BYTES,
  type Descriptor,
  compressionOfBytes,
  type Digest,
  digestFrom,
  type ImageSource,
  type LayerCompression,
  type ReopenableBlob,
} from '../../spec/index.js';
import { readSourceBlob, SharedRead } from '../registry/index.js';

/** A stored blob. */
export interface SpooledBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Opens the file, which may have no name, until it is dropped. */
  readonly path: string;
  readonly open: ReopenableBlob['open'];
  /** Frees the space before the spool is closed. */
  drop(): Promise<void>;
}

/** Storage for layers during conversion and copy. */
export interface LayerSpool {
  /** Stores a stream. Throws the errors of the stream and the storage, AbortError. */
  take(body: Readable, options: { readonly signal: AbortSignal }): Promise<SpooledBlob>;
  close(): Promise<void>;
}

/** A blob in a temporary file. */
export interface Spooled extends SpooledBlob {
  /** Detected from the first bytes. */
  readonly compression: LayerCompression;
}

/** Temporary files without names, so that they disappear with the process. */
export class Spool implements LayerSpool {
  readonly #directory: string;
  readonly #files = new Set<FileHandle>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Stores a stream. Throws the errors of the stream, DiskSpaceError, AbortError. */
  async take(body: Readable, { signal }: { readonly signal: AbortSignal }): Promise<Spooled> {
    const file = await openTemporary(this.#directory);
    this.#files.add(file);
    const hash = createHash('sha256');
    let head: Buffer = Buffer.alloc(0);
    let size = 0;
    // Not a write stream, because destroying one closes the file regardless of `autoClose`.
    const write = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
      for await (const chunk of chunks) {
        if (head.length < COMPRESSION_HEAD_BYTES)
          head = Buffer.concat([head, chunk.subarray(0, COMPRESSION_HEAD_BYTES)]);
        hash.update(chunk);
        size += chunk.length;
        await file.writeFile(chunk);
      }
    };
    const drop = async (): Promise<void> => {
      if (this.#files.delete(file)) await file.close();
    };
    try {
      // Uses a derived signal, because node adds listeners to it for each of many concurrent layers.
      await pipeline(body, write, { signal: AbortSignal.any([signal]) });
    } catch (error) {
      await drop();
      if (!isDiskFull(error)) throw error;
      throw new DiskSpaceError(`${this.#directory} is full: layers wait there while they are converted`, {
        hint: 'set TMPDIR to a directory with room for the image',
        cause: error,
      });
    }
    return {
      digest: digestFrom(hash),
      size,
      compression: layerCompressionOf(head),
      path: `/proc/self/fd/${file.fd}`,
      // oxlint-disable-next-line typescript/require-await
      open: async (options) => {
        options.signal.throwIfAborted();
        return readRange(file, options.offset, Infinity, options.signal);
      },
      drop,
    };
  }

  /** Removes all files. */
  async close(): Promise<void> {
    const files = [...this.#files];
    this.#files.clear();
    await Promise.all(files.map((file) => file.close()));
  }
}

/** Detects the compression of a layer. Throws LayerFormatError for one that layers do not support. */
function layerCompressionOf(head: Buffer): LayerCompression {
  const found = compressionOfBytes(head);
  if (found === undefined || found === 'gzip' || found === 'zstd') return found ?? 'none';
  throw new LayerFormatError(`a layer is compressed with ${found}, which images do not know`);
}

/**
 * Streams a blob from its start and resumes broken connections. Ends without an error only when the digest is right.
 */
export async function readVerified(
  blob: ReopenableBlob,
  options: {
    readonly signal: AbortSignal;
    readonly onProgress?: (transferred: number) => void;
    readonly onRetry?: (message: string) => void;
  },
): Promise<Readable> {
  const [reader] = new SharedRead(blob, { readers: 1, ...options }).readers();
  return reader!.blob.open({ signal: options.signal, offset: 0 });
}

/**
 * Reads a small blob into memory, resumes broken connections and verifies it. Throws SizeMismatchError,
 * DigestMismatchError.
 */
export function readSmallBlob(
  source: Pick<ImageSource, 'blob'>,
  descriptor: Descriptor,
  options: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  const blob = source.blob(descriptor);
  return readSourceBlob({ descriptor, open: ({ signal }) => readVerified(blob, { signal }) }, options);
}

/** A blob in memory. */
export function blobOfBytes(descriptor: Descriptor, bytes: Buffer): ReopenableBlob {
  return {
    descriptor,
    // oxlint-disable-next-line typescript/require-await
    open: async ({ signal, offset }) => {
      signal.throwIfAborted();
      return Readable.from([bytes.subarray(offset)], { objectMode: false });
    },
  };
}
