import type { Readable } from 'node:stream';
import type { Descriptor, Digest } from '../spec/index.js';
import type { GrowingFile } from '../util/index.js';

/** A download into the store, owned by one process at a time (flock). End it with `commit` or `release`. */
export interface Ingest {
  readonly descriptor: Descriptor;
  /**
   * Number of bytes present, initially those of an earlier run (hashed again). The download continues at this offset.
   * Grows with `write`.
   */
  readonly offset: number;
  /** How far others in this process may read the data (the unpacker reads while it grows). */
  readonly growing: GrowingFile;
  /** Path of the data file, valid until `commit` or `release`. */
  readonly path: string;
  /** Appends. Hashes synchronously, writes asynchronously. Throws SizeMismatchError beyond the descriptor's size. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Discards all bytes and restarts at 0 (after a wrong digest). If there were any, `growing` fails permanently, and
   * its readers start again after `commit`.
   */
  restart(): Promise<void>;
  /**
   * Checks size and digest and publishes the blob. Throws SizeMismatchError, DigestMismatchError; the data is then
   * discarded and the ingest is back at offset 0, ready for another attempt or `release`.
   */
  commit(): Promise<void>;
  /** Ends the ingest and keeps its bytes for the next run. Idempotent; does nothing after `commit`. */
  release(): Promise<void>;
}

/**
 * A download whose digest is unknown, identified by a key and owned by one process at a time (flock). End it with
 * `commit` or `release`.
 */
export interface Part {
  /** Number of bytes present, initially those of an earlier run, unverified. Grows with `write`. */
  readonly offset: number;
  /** Streams the bytes present, from the first to `offset`. */
  read(): AsyncIterable<Buffer>;
  /** Appends. Throws DiskSpaceError, SyscallError. */
  write(chunk: Uint8Array): Promise<void>;
  /** Discards all bytes. */
  restart(): Promise<void>;
  /**
   * Publishes the bytes as a blob, or discards them when `blob` was made from them. Records the blob under the key,
   * with `proofs` of its correctness.
   */
  commit(options: {
    readonly proofs: readonly string[];
    readonly blob?: { readonly digest: Digest; readonly size: number };
  }): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** Ends the download and keeps its bytes for the next run. Idempotent; does nothing after `commit`. */
  release(): Promise<void>;
}

/** The blob that resulted from a download by key, and the recorded proofs of its correctness. The blob may have been removed. */
export interface FinishedPart {
  readonly digest: Digest;
  readonly size: number;
  readonly proofs: readonly string[];
}

/** Immutable blobs on disk, addressed by digest, and partial downloads. Safe for concurrent processes. */
export interface ContentStore {
  /** Size of a published blob in bytes, or undefined. */
  stat(digest: Digest): Promise<{ readonly size: number } | undefined>;
  /** Path of a published blob. The file exists only if `stat` returns a size. */
  path(digest: Digest): string;
  /** Streams a blob from `offset`; verifies the digest when read from the start. Throws NotFoundError, DigestMismatchError. */
  open(digest: Digest, options?: { readonly offset?: number; readonly signal?: AbortSignal }): Promise<Readable>;
  /**
   * Reads a whole blob into memory, with a size limit, and verifies it. Throws NotFoundError, DigestMismatchError,
   * SizeMismatchError.
   */
  read(digest: Digest, options?: { readonly maxBytes?: number }): Promise<Buffer>;
  /** Stores bytes from memory (manifests, configs). Returns their digest. Throws DigestMismatchError when `expected` differs. */
  put(bytes: Uint8Array, expected?: Digest): Promise<Digest>;
  /**
   * Starts or resumes the download of a blob. Waits while another process downloads it (`onWait` is called once).
   * Resolves with undefined when the blob is (now) present. Throws AbortError.
   */
  beginIngest(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onWait?: () => void },
  ): Promise<Ingest | undefined>;
  /**
   * Stores a stream whose digest is unknown (a packed layer). Resolves with digest and size in bytes. Leaves nothing
   * behind on failure.
   */
  ingestStream(
    source: Readable,
    options: { readonly signal: AbortSignal; readonly expected?: Digest },
  ): Promise<{ readonly digest: Digest; readonly size: number }>;
  /**
   * Starts or resumes a download identified by a key. While another process has it, this one gets a separate download,
   * which is not kept.
   */
  beginPart(key: string, options: { readonly signal: AbortSignal }): Promise<Part>;
  /** The result of the download of a key, until it is forgotten. */
  finishedPart(key: string): Promise<FinishedPart | undefined>;
  /** Forgets a key and discards its bytes unless another process is using them. Blobs stay. */
  forgetPart(key: string): Promise<void>;
  delete(digest: Digest): Promise<void>;
  /** Digests and sizes of all published blobs. */
  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
  /** Removes remains of dead processes that cannot be resumed. Resumable downloads stay. */
  sweep(): Promise<void>;
}
