import type { Readable } from 'node:stream';
import type { Descriptor, Digest } from '../spec/index.js';
import type { GrowingFile } from '../util/index.js';

/** A download in progress into the store, owned by one process at a time (flock). Close with `commit` or `release`. */
export interface Ingest {
  readonly descriptor: Descriptor;
  /** Bytes already here, at first those of an earlier run (re-hashed): the download goes on from this offset. Grows with `write`. */
  readonly offset: number;
  /** How far the data may be read by others of this process (the unpacker reads while it grows). */
  readonly growing: GrowingFile;
  /** An open read descriptor of the data file, valid until `commit`/`release` and beyond if the caller dup'ed it. */
  readonly path: string;
  /** Appends; synchronous hash, asynchronous write. Throws SizeMismatchError beyond the descriptor's size. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Throws away what is here and starts at 0 (a digest that did not match). `growing` fails for good when there was
   * something: who read it begins again after `commit`.
   */
  restart(): Promise<void>;
  /**
   * Checks size and digest, publishes the blob. Throws SizeMismatchError, DigestMismatchError: then the data is dropped
   * and the ingest is back at offset 0, ready for another try or `release`.
   */
  commit(): Promise<void>;
  /** Lets go: what is here stays for the next run. Idempotent; a no-op after `commit`. */
  release(): Promise<void>;
}

/**
 * A download of bytes whose digest is not known before, found again under a key; owned by one process at a time (flock).
 * Close with `commit` or `release`.
 */
export interface Part {
  /** Bytes already here, at first those of an earlier run; nothing is known of them. Grows with `write`. */
  readonly offset: number;
  /** Streams the bytes that are here, from the first to `offset`. */
  read(): AsyncIterable<Buffer>;
  /** Appends. Throws DiskSpaceError, SyscallError. */
  write(chunk: Uint8Array): Promise<void>;
  /** Throws away what is here. */
  restart(): Promise<void>;
  /**
   * Publishes the bytes as a blob, or drops them when `blob` was made of them. The key leads to it from now on, with
   * `proofs`: what shows that it is right.
   */
  commit(options: {
    readonly proofs: readonly string[];
    readonly blob?: { readonly digest: Digest; readonly size: number };
  }): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** Lets go: what is here stays for the next run. Idempotent; a no-op after `commit`. */
  release(): Promise<void>;
}

/** The blob that a download by key has become, and what was said to show that it is right. The blob may be gone. */
export interface FinishedPart {
  readonly digest: Digest;
  readonly size: number;
  readonly proofs: readonly string[];
}

/** Immutable blobs on disk by digest, and partial downloads. Safe for many processes at once. */
export interface ContentStore {
  /** Size in bytes of a published blob, or undefined. */
  stat(digest: Digest): Promise<{ readonly size: number } | undefined>;
  /** Path of a published blob (exists only if `stat` says so). */
  path(digest: Digest): string;
  /** Streams a blob from `offset`, verifying the digest when read whole. Throws NotFoundError, DigestMismatchError. */
  open(digest: Digest, options?: { readonly offset?: number; readonly signal?: AbortSignal }): Promise<Readable>;
  /** Whole blob in memory, size-capped and verified. Throws NotFoundError, DigestMismatchError, SizeMismatchError. */
  read(digest: Digest, options?: { readonly maxBytes?: number }): Promise<Buffer>;
  /** Stores bytes held in memory (manifests, configs). Returns their digest; throws DigestMismatchError when `expected` differs. */
  put(bytes: Uint8Array, expected?: Digest): Promise<Digest>;
  /**
   * Begins or resumes the download of a blob. Waits while another process downloads the same one (`onWait` is called
   * once); resolves with undefined when the blob is (now) present. Throws AbortError.
   */
  beginIngest(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onWait?: () => void },
  ): Promise<Ingest | undefined>;
  /**
   * Stores a stream whose digest is not known before (a packed layer). Resolves with digest and size in bytes.
   * Nothing stays behind on failure.
   */
  ingestStream(
    source: Readable,
    options: { readonly signal: AbortSignal; readonly expected?: Digest },
  ): Promise<{ readonly digest: Digest; readonly size: number }>;
  /**
   * Begins or resumes a download that is known by a key only. While another process has it, this one gets a download of its
   * own, which is not kept.
   */
  beginPart(key: string, options: { readonly signal: AbortSignal }): Promise<Part>;
  /** What the download of that key has become, until it is forgotten. */
  finishedPart(key: string): Promise<FinishedPart | undefined>;
  /** Forgets a key, and drops the bytes of its download unless another process is at it. Blobs stay. */
  forgetPart(key: string): Promise<void>;
  delete(digest: Digest): Promise<void>;
  /** Digests and sizes of all published blobs. */
  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
  /** Removes what dead processes left and no process can resume. Downloads that can be resumed stay. */
  sweep(): Promise<void>;
}
