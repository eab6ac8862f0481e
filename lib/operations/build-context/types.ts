import type { AddInstruction, CopyInstruction } from '../../dockerfile/index.js';
import type { HttpHeaders } from '../../http/index.js';
import type { Readable } from 'node:stream';
import type { LayerIndexer } from '../../layer/index.js';
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
  /** Seconds since 1970: time of heredocs and of downloads that have none. Default: now. */
  readonly sourceDateEpoch?: number | undefined;
  readonly signal: AbortSignal;
}

/** The files that an instruction selects. What it fetched (`ADD` of URLs) is removed by `close`. */
export interface Selection {
  /**
   * Digest of everything that decides what is written, apart from the stage itself: names, types, modes, owners as they will be,
   * contents. No times. Files that were hashed before and not changed since are not read.
   */
  digest(): Promise<Digest>;
  /** Writes the files. Throws DockerfileError, SyscallError (ESTALE: a file was changed since `digest`), AbortError. */
  writeTo(target: SelectionTarget): Promise<void>;
  close(): Promise<void>;
}

/** The files of a stage, to be read and changed. */
export type StageTree = FileTree & WritableTree;

/** Where a selection is written. */
export interface SelectionTarget {
  /** The stage, whose `/etc/passwd` and `/etc/group` are read for `--chown`. */
  readonly tree: StageTree;
  /** Time of the directories that are made, nanoseconds since 1970. */
  readonly createdNs: bigint;
  readonly signal: AbortSignal;
}

/** What the room works with: parts of other rooms, as functions. */
export interface BuildContextDeps {
  /** `openDirectoryTree` of the room rootfs. */
  readonly openDirectory: (root: string) => Promise<FileTree & { close(): void }>;
  /** `openTreeWriter` of the room rootfs. */
  readonly openWriter: (
    root: string,
    options: { readonly onRefused: (attribute: string) => void; readonly signal: AbortSignal },
  ) => Promise<StageTree & { finish(): void; close(): void }>;
  /** `createLayerIndexer` of the room layer, to index tars; the caller closes it. */
  readonly createIndexer: () => Promise<LayerIndexer>;
  /** The tree of one tar by its index and its contents: open descriptors, which stay the caller's. */
  readonly openTarTree: (index: number, data: number) => Promise<FileTree>;
  /** `beginsTar` of the room layer. */
  readonly beginsTar: (fd: number, size: number) => Promise<boolean>;
  /** Fetches a URL without any login; any status resolves. */
  readonly download: (
    url: string,
    signal: AbortSignal,
  ) => Promise<{ readonly status: number; readonly headers: HttpHeaders; readonly body: Readable }>;
  readonly onNote: (line: string) => void;
}
