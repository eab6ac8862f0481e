import type { AddInstruction, CopyInstruction } from '../../dockerfile/index.js';
import type { HttpHeaders } from '../../http/index.js';
import type { Readable } from 'node:stream';
import type { LayerIndexer } from '../../layer/index.js';
import type { FileTree, WritableTree } from '../../rootfs/index.js';
import type { Digest } from '../../spec/index.js';

/** Source of files for COPY, ADD and `RUN --mount`. */
export interface BuildContext {
  /** Name in messages: `the build context`, `stage build`, `image alpine:3.20`. */
  readonly name: string;
  readonly tree: FileTree;
  /** True if files keep their owner without `--chown`, as in stages and images; files of contexts belong to root. */
  readonly keepsOwners: boolean;
  /** Local directory of the tree; undefined if it is in tars. */
  readonly directory?: string;
  /** Removes temporary files. */
  close(): Promise<void>;
}

/** An expanded COPY or ADD with its source. */
export interface SelectionRequest {
  /** With all variables expanded. */
  readonly instruction: CopyInstruction | AddInstruction;
  /** The main context without ignored files, or the one of `--from`. */
  readonly context: BuildContext;
  /** WORKDIR of the stage, absolute. */
  readonly workdir: string;
  /** Time of heredocs and of downloads without one, in seconds since 1970. Default: now. */
  readonly sourceDateEpoch?: number | undefined;
  readonly signal: AbortSignal;
}

/** The files selected by an instruction. `close` removes fetched files. */
export interface Selection {
  /**
   * Digest of everything that determines the written files, apart from the stage: names, types, modes, final owners and
   * contents, but no times. Does not read unchanged files again.
   */
  digest(): Promise<Digest>;
  /** Writes the files. Throws DockerfileError, SyscallError (ESTALE: a file changed since `digest`), AbortError. */
  writeTo(target: SelectionTarget): Promise<void>;
  close(): Promise<void>;
}

/** A readable and writable stage. */
export type StageTree = FileTree & WritableTree;

/** Destination of a selection. */
export interface SelectionTarget {
  /** The stage; its `/etc/passwd` and `/etc/group` are read for `--chown`. */
  readonly tree: StageTree;
  /** Time of created directories, in ns since 1970. */
  readonly createdNs: bigint;
  readonly signal: AbortSignal;
}

/** Functions of other rooms. */
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
  /** Opens a tar as a tree, from its index and contents; the caller owns the descriptors. */
  readonly openTarTree: (index: number, data: number) => Promise<FileTree>;
  /** `beginsTar` of the room layer. */
  readonly beginsTar: (fd: number, size: number) => Promise<boolean>;
  /** Fetches a URL without credentials; resolves for any status. */
  readonly download: (
    url: string,
    signal: AbortSignal,
  ) => Promise<{ readonly status: number; readonly headers: HttpHeaders; readonly body: Readable }>;
  readonly onNote: (line: string) => void;
}
