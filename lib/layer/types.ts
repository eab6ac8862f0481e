import type { DiffId } from '../spec/index.js';
import type { GrowingFile } from '../util/index.js';

/** A layer blob to unpack, possibly still downloading. */
export interface LayerInput {
  /** Open read descriptor of the blob file; the caller owns and closes it after `apply` has settled. */
  readonly fd: number;
  readonly growing: GrowingFile;
  /** Absolute path of the root directory to unpack onto: a fresh snapshot of the parent layer. */
  readonly root: string;
  /** The tar is no layer: names that mean whiteouts there are names. */
  readonly plainNames?: boolean;
  readonly signal: AbortSignal;
  /** Called about ten times a second with the bytes of tar unpacked so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** What came out of one layer. */
export interface AppliedLayer {
  readonly diffId: DiffId;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  readonly entries: number;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Things that were left out on purpose (an attribute the kernel refuses), one line each. */
  readonly notes: readonly string[];
}

/** A layer blob of which an index is to be written. */
export interface IndexInput extends Omit<LayerInput, 'root'> {
  /** Descriptor of an empty file that takes the index, for `LayerIndex`. */
  readonly index: number;
  /** Descriptor of an empty file that takes the contents of all files; undefined: they are only hashed. */
  readonly data?: number;
}

/**
 * A pair of worker threads (inflate + hash, tar + system calls) that unpacks layers one after the other.
 * Created at the start of a pull (threads start at once), closed by its creator.
 */
export interface LayerApplier {
  /**
   * Unpacks one layer, whiteouts applied. Throws LayerFormatError, PathEscapeError, UnsupportedMediaTypeError,
   * DiskSpaceError (ENOSPC, EDQUOT), SyscallError, AbortError; after a throw the root is half-written: remove the
   * snapshot. When the input failed (`growing.fail()`), throws SourceFailedError. The applier stays usable.
   */
  apply(input: LayerInput): Promise<AppliedLayer>;
  close(): Promise<void>;
}

/** Indexes layers with the same threads. */
export interface LayerIndexer {
  /** Writes an index of the members of one layer. Throws as `apply` of a `LayerApplier`; the files are half-written then. */
  index(input: IndexInput): Promise<AppliedLayer>;
  close(): Promise<void>;
}
