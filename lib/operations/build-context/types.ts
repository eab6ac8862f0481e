import type { AddInstruction, CopyInstruction } from '../../dockerfile/index.js';
import type { FileTree, WritableTree } from '../../rootfs/index.js';
import type { Digest } from '../../spec/index.js';

/** What COPY, ADD and `RUN --mount` take files from. */
export interface BuildContext {
  /** For messages: `the build context`, `stage build`, `image alpine:3.20`. */
  readonly name: string;
  readonly tree: FileTree;
  /** Whether files keep their owner without `--chown`: those of stages and images do, those of the context are root's. */
  readonly keepsOwners: boolean;
  /** Directory of this machine that the tree is; undefined: it is in tars. */
  readonly directory?: string;
  /** Removes what was made for it. */
  close(): Promise<void>;
}

/** An expanded COPY or ADD, and where its files come from. */
export interface SelectionRequest {
  /** With every string expanded. */
  readonly instruction: CopyInstruction | AddInstruction;
  /** The main context, already without what its ignore file names, or that of `--from`. */
  readonly context: BuildContext;
  /** WORKDIR of the stage: absolute. */
  readonly workdir: string;
  readonly signal: AbortSignal;
}

/** The files that an instruction selects. What it fetched (`ADD` of URLs) is removed by `close`. */
export interface Selection {
  /**
   * Digest of everything that decides what is written, apart from the stage itself: names, types, modes, owners as they will be,
   * contents. No times. Files that were hashed before and not changed since are not read.
   */
  digest(): Promise<Digest>;
  /** Writes the files. `target.tree` is the stage. Throws UsageError, NotFoundError, SyscallError, AbortError. */
  writeTo(target: SelectionTarget): Promise<void>;
  close(): Promise<void>;
}

/** Where a selection is written. */
export interface SelectionTarget {
  readonly tree: WritableTree;
  /** Reads `/etc/passwd` and `/etc/group` of the stage for `--chown`. */
  readonly stage: FileTree;
  /** Time of the directories that are made, nanoseconds since 1970. */
  readonly createdNs: bigint;
  readonly signal: AbortSignal;
}
