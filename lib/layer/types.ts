import type { DiffId } from '../spec/index.js';
import type { GrowingFile } from '../util/index.js';

/** A layer blob to unpack; it may still be downloading. */
export interface LayerInput {
  /** The blob file, open for reading. The caller closes it after `apply` has settled. */
  readonly fd: number;
  readonly growing: GrowingFile;
  /** Size of the blob; 0 when it is not known. Bytes. */
  readonly size: number;
  /** Absolute path of the directory to unpack onto: a new snapshot of the parent layer. */
  readonly root: string;
  /** The tar is not a layer: whiteout names are ordinary names. */
  readonly plainNames?: boolean;
  readonly signal: AbortSignal;
  /** Called about ten times a second with the size of the tar unpacked so far. Bytes. */
  readonly onProgress?: (bytes: number) => void;
}

/** The result of unpacking one layer. */
export interface AppliedLayer {
  readonly diffId: DiffId;
  /** Size of the uncompressed tar. Bytes. */
  readonly size: number;
  readonly entries: number;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Notes about omissions (an attribute that the kernel refuses), one line each. */
  readonly notes: readonly string[];
}

/** A layer blob to index. */
export interface IndexInput extends Omit<LayerInput, 'root'> {
  /** Descriptor of an empty file for the index, to be read by `LayerIndex`. */
  readonly index: number;
  /** Descriptor of an empty file for the contents of all files; undefined: they are only hashed. */
  readonly data?: number;
}

/**
 * Unpacks one layer after another: small ones in the calling thread, others in a pair of worker threads (inflate and hash;
 * tar and system calls), which the first of them starts. The caller closes it.
 */
export interface LayerApplier {
  /**
   * Unpacks one layer and applies its whiteouts. Throws LayerFormatError, PathEscapeError, UnsupportedMediaTypeError,
   * DiskSpaceError (ENOSPC, EDQUOT), SyscallError, AbortError, and SourceFailedError when the input failed
   * (`growing.fail()`). After an error the root is incomplete: remove the snapshot. The applier stays usable.
   */
  apply(input: LayerInput): Promise<AppliedLayer>;
  close(): Promise<void>;
}

/** Indexes layers in the same way. */
export interface LayerIndexer {
  /** Writes an index of the members of one layer. Throws as `LayerApplier.apply`; the files are then incomplete. */
  index(input: IndexInput): Promise<AppliedLayer>;
  close(): Promise<void>;
}
