import type { ChainId } from '../spec/index.js';

/** Space on the store's file system. Bytes. */
export interface SpaceReport {
  /** Virtual size of the btrfs. */
  readonly total: number;
  /** Space for more data: unallocated, or free in data chunks. */
  readonly dataFree: number;
  /** Space for more metadata; a btrfs without any becomes unusable. */
  readonly metadataFree: number;
  /** Free space of the file system that contains the embedded pool's file; undefined for a device. */
  readonly backingFree: number | undefined;
}

/** A record that the subvolume `uuid`, which may have been removed, was created as a snapshot of another one in `transaction`. */
export interface SnapshotOrigin {
  readonly uuid: string;
  readonly parentUuid: string;
  readonly transaction: number;
}

/**
 * The origin of a new subvolume: a layer, the result of `prepare(work)`, which is complete but not yet named, or the
 * result of `freezeWork(frozen)`.
 */
type SnapshotParent = ChainId | { readonly work: string } | { readonly frozen: string };

/**
 * Layers and containers as btrfs subvolumes. A `key` (random hex) names work in progress or a container, a ChainId
 * names a committed, read-only layer. Lifecycle: `prepare(key, parent)` → write into `path` → `commit(chainId, key)`;
 * or `remove(key)`. Knows no registry, no tar, no records.
 */
export interface Snapshotter {
  /** True when a layer exists as a subvolume. */
  has(layer: ChainId): Promise<boolean>;
  /** Directory of a committed layer. */
  layerPath(layer: ChainId): string;
  /** Creates a writable subvolume in `work/`: empty, or a snapshot of `parent`. Resolves with its absolute path. */
  prepare(key: string, parent: SnapshotParent | undefined): Promise<string>;
  /** Makes the result of `prepare(key)` read-only and names it `layer`. Keeps an existing layer when another process was faster. */
  commit(layer: ChainId, key: string): Promise<void>;
  /** Creates the writable subvolume of container `id` from `parent`, or empty. Resolves with its absolute path. O(1). */
  createContainer(id: string, parent: ChainId | undefined): Promise<string>;
  containerPath(id: string): string;
  /** Moves work in progress, a layer or a container to `trash/` and deletes it with its nested subvolumes. Idempotent. */
  removeWork(key: string): Promise<void>;
  removeLayer(layer: ChainId): Promise<void>;
  removeContainer(id: string): Promise<void>;
  /** Chain IDs of all committed layers. */
  listLayers(): Promise<ChainId[]>;
  /**
   * Removes what dead processes left in `work/` and `trash/`. A key is in use while its lock is held. Resolves with one
   * line for each item that could not be removed.
   */
  sweep(): Promise<readonly string[]>;
  space(): Promise<SpaceReport>;
  /** Waits until btrfs, which frees deleted subvolumes in the background, has done so, for at most one minute. Throws AbortError. */
  settleSpace(signal: AbortSignal): Promise<void>;
  /** syncfs: all data written before survives a power loss. */
  sync(): Promise<void>;
  /**
   * Creates a read-only snapshot of a container under `key`, for `commit(layer, key)` or `removeWork(key)`. Resolves
   * with its absolute path. Nested subvolumes appear as directories with their files; inode flags and btrfs properties
   * are omitted. Throws NotFoundError, SubvolumeError (a file is swap space).
   */
  freeze(key: string, containerId: string): Promise<string>;
  /**
   * Lets `change` modify the result of `freeze(key)`, which is read-only again afterwards. If it throws, the snapshot
   * may only be passed to `removeWork(key)`.
   */
  changeFrozen(key: string, change: (path: string) => Promise<void>): Promise<void>;
  /**
   * The origin of the subvolume of which a layer is a snapshot, for `ChangesInput.recordedOrigins` once it is removed.
   * Undefined when it is already removed or is not a snapshot.
   */
  originBelow(layer: ChainId): Promise<SnapshotOrigin | undefined>;
  /** Clears the read-only flags of a container and its nested subvolumes, and `chattr +i` and `+a` of their roots. */
  unlockContainer(id: string): Promise<void>;
  /** Throws SubvolumeError when a file of the container is in use as swap space or by a loop device. Changes nothing. */
  checkContainerUnused(id: string): Promise<void>;
  /**
   * Paths of files in a layer, or in the result of `freezeWork(key)`, with inode flags or btrfs properties, which no
   * blob can express; each with a text that describes them. The time is proportional to the size of the tree.
   */
  listMarked(tree: { readonly layer: ChainId } | { readonly key: string }): Promise<ReadonlyMap<string, string>>;
  /** Bytes of file contents written to a container since its creation, as far as they are on disk. O(changes). */
  writtenBytes(containerId: string): Promise<number>;
  /** The writable subvolume of a cache mount, created if missing. Must be called under a lock. Resolves with its absolute path. */
  openCache(
    name: string,
    attributes: { readonly mode: number; readonly uid: number; readonly gid: number },
  ): Promise<string>;
  /** Creates a writable snapshot of a cache mount under `key`, for `removeWork(key)`. Resolves with its absolute path. */
  copyCache(key: string, name: string): Promise<string>;
  removeCache(name: string): Promise<void>;
  /** Sorted names of all cache mounts. */
  listCaches(): Promise<string[]>;
  /** Bytes of file contents in a cache mount, or in a layer but not in its origin; as far as they are on disk. */
  ownBytes(tree: { readonly layer: ChainId } | { readonly cache: string }): Promise<number>;
  /**
   * Creates a read-only snapshot under `key` of the result of `prepare(from)`, for `removeWork(key)`. Resolves with its
   * absolute path.
   */
  freezeWork(key: string, from: string): Promise<string>;
}

/** Two trees to compare, as absolute paths. */
export interface ChangesInput {
  /** A committed layer; undefined: everything counts as added. */
  readonly lower: string | undefined;
  /** A frozen (read-only) snapshot. */
  readonly upper: string;
  readonly signal?: AbortSignal | undefined;
  /** Receives one line with the reason when both trees have to be walked unexpectedly. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Recorded origins of removed subvolumes; called only when btrfs alone does not know how the trees are related. */
  readonly recordedOrigins?: (() => Promise<readonly SnapshotOrigin[]>) | undefined;
}

/** The backing of an embedded pool. */
export type PoolBacking = { readonly file: string } | { readonly device: string };

export interface OpenStoreOptions {
  /** Create a missing store. */
  readonly create: boolean;
  /** Virtual size of a new embedded pool. When given, a pool is created even on btrfs. Bytes. */
  readonly size?: number | undefined;
  /** Block device to format as a new pool instead of a file. Refused when it already contains a file system. */
  readonly device?: string | undefined;
  /** Space to keep free. Default 1 GiB. Bytes. */
  readonly reserve?: number | undefined;
  /** Receives one line when a pool was created or mounted. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Ends a wait for another process that creates or mounts the pool. */
  readonly signal?: AbortSignal | undefined;
}
