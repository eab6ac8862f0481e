import type { AddInstruction, CopyInstruction, Environment } from '../../dockerfile/index.js';
import type { ChainId } from '../../spec/index.js';

/**
 * A directory that COPY, ADD and bind mounts take files from. Build contexts are opened by the room build-context; the
 * files of a stage or an image are read-only subvolumes of the store.
 */
export interface SourceTree {
  /** Absolute path of the directory: `/` of the sources. Nothing leads out of it, links included. */
  readonly root: string;
  /**
   * `context`: sources belong to 0:0 and an ignore file may apply (known to build-context, which opened it); `image`: a stage
   * or an image, whose files keep their owners and are never filtered.
   */
  readonly kind: 'context' | 'image';
}

/** A COPY or ADD to be resolved. */
export interface CopyRequest {
  /** Expanded. */
  readonly instruction: CopyInstruction | AddInstruction;
  /** What heredocs are expanded with. */
  readonly environment: Environment;
  /** Where `sources` are; undefined when there are only heredocs, URLs or git repositories. */
  readonly source: SourceTree | undefined;
  /** WORKDIR, absolute: relative destinations lie below. */
  readonly workdir: string;
  /** Seconds since 1970 that no time is newer than. */
  readonly sourceDateEpoch?: number | undefined;
  readonly signal: AbortSignal;
}

/** The files that a COPY or ADD takes, found and hashed; nothing is copied yet. To be closed. */
export interface CopyPlan {
  /**
   * `sha256:…` of all that decides what the copy does to a given tree: names, types, modes, owners, link targets, xattrs and
   * contents of the selected files, destination, --chown, --chmod, --link, --parents, --exclude; never times.
   */
  readonly digest: string;
  /** Files, directories and links selected. */
  readonly entries: number;
  /** Copies into the directory `rootfs`, a writable snapshot. Names of --chown are looked up there. Throws as a copy does. */
  apply(rootfs: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Removes what was downloaded for it. Idempotent. */
  close(): Promise<void>;
}

/** What the executor needs of the room build-context; one for each build. */
export interface BuildSources {
  /** The build context; opened when it is first asked for. Throws NotFoundError, UsageError. */
  context(): Promise<SourceTree>;
  /** A context of `--build-context NAME=…` that is a directory, tar or git repository. */
  namedContext(name: string): Promise<SourceTree>;
  /** The image that a context of `--build-context` stands for (`docker-image://`, `docker://`, `oci:`); undefined: files. */
  contextImage(name: string): string | undefined;
  /** Finds and hashes what a COPY or ADD takes. Throws DockerfileError for a missing source or a bad flag value. */
  resolveCopy(request: CopyRequest): Promise<CopyPlan>;
  /** Content digest of a directory or file below a tree, for bind mounts, without times. */
  digestTree(tree: SourceTree, path: string, options: { readonly signal: AbortSignal }): Promise<string>;
  /** Removes what was unpacked or downloaded. Idempotent. */
  close(): Promise<void>;
}

/** One part of a step's key, kept to say why a step was not found in the cache: `parent`, `command`, `env A`, … */
export interface KeyPart {
  readonly name: string;
  /** Plain where it is short and no secret, else its SHA-256. */
  readonly value: string;
}

/** What makes a step what it is: two steps with the same key give the same files. */
export interface StepKey {
  /** 64 hex digits: SHA-256 of the parts. */
  readonly key: string;
  readonly parts: readonly KeyPart[];
}

/** The files of a step or a base image. `undefined` where a tree is expected: FROM scratch. */
export interface StepTree {
  /** Name of the read-only subvolume: a layer's chainID, or what a step's result is stored as. */
  readonly subvolume: ChainId;
  /** Stands for the tree in the keys of the steps on it. */
  readonly key: string;
}
