import type { ChainId } from '../spec/index.js';

/** Room on the store's file system, bytes. */
export interface SpaceReport {
  /** Virtual size of the btrfs. */
  readonly total: number;
  /** What can still be written: data unallocated or free in data chunks. */
  readonly dataFree: number;
  /** What metadata can still grow by; running out of it freezes a btrfs. */
  readonly metadataFree: number;
  /** Free bytes of the file system that carries the embedded pool's file; undefined on a device. */
  readonly backingFree: number | undefined;
}

/** That the subvolume `uuid`, which may be gone, was made as a snapshot of another one in `transaction`. */
export interface SnapshotOrigin {
  readonly uuid: string;
  readonly parentUuid: string;
  readonly transaction: number;
}

/**
 * What a new subvolume is a snapshot of: a layer; what `prepare(work)` made, which is written no more and has no name yet; or
 * what `freezeWork(frozen)` made.
 */
export type SnapshotParent = ChainId | { readonly work: string } | { readonly frozen: string };

/**
 * Layers and containers as btrfs subvolumes. `key` names something in work or a container (random hex), a ChainId names
 * a committed, read-only layer. Lifecycle: `prepare(key, parent)` → write into `path` → `commit(chainId, key)`; or
 * `remove(key)`. Knows no registry, no tar, no records.
 */
export interface Snapshotter {
  /** Whether a layer is there as a subvolume. */
  has(layer: ChainId): Promise<boolean>;
  /** Directory of a committed layer. */
  layerPath(layer: ChainId): string;
  /** Makes a writable subvolume in `work/`: empty, or a snapshot of `parent`. Resolves with its absolute path. */
  prepare(key: string, parent: SnapshotParent | undefined): Promise<string>;
  /** Makes what `prepare(key)` made read-only and names it `layer`; keeps the existing one when another process was faster. */
  commit(layer: ChainId, key: string): Promise<void>;
  /** Makes the writable subvolume of container `id` from `parent` (empty without). Resolves with its absolute path. O(1). */
  createContainer(id: string, parent: ChainId | undefined): Promise<string>;
  containerPath(id: string): string;
  /** Moves to `trash/` and deletes: work in progress, a layer or a container, nested subvolumes included. Idempotent. */
  removeWork(key: string): Promise<void>;
  removeLayer(layer: ChainId): Promise<void>;
  removeContainer(id: string): Promise<void>;
  /** Chain IDs of all committed layers. */
  listLayers(): Promise<ChainId[]>;
  /**
   * Removes what dead processes left in `work/` and `trash/`. A key is alive while its lock is held. What cannot be removed
   * stops nothing: resolves with a line on each.
   */
  sweep(): Promise<readonly string[]>;
  space(): Promise<SpaceReport>;
  /** Waits until what was deleted is free again, which btrfs does later and by itself; not longer than a minute. Throws AbortError. */
  settleSpace(signal: AbortSignal): Promise<void>;
  /** syncfs: everything written so far survives a power loss after this. */
  sync(): Promise<void>;
  /**
   * Read-only snapshot of a container under `key`, for `commit(layer, key)` or `removeWork(key)`. Resolves with its
   * absolute path. Subvolumes inside appear as directories with their files; inode flags and btrfs properties are left out.
   * Throws NotFoundError, SubvolumeError (a file is swap space).
   */
  freeze(key: string, containerId: string): Promise<string>;
  /**
   * Lets `change` work on what `freeze(key)` made, which is read-only again afterwards. When it throws, the snapshot is good for
   * `removeWork(key)` alone.
   */
  changeFrozen(key: string, change: (path: string) => Promise<void>): Promise<void>;
  /**
   * What the subvolume that a layer is a snapshot of is a snapshot of itself, for `ChangesInput.recordedOrigins` when it is gone;
   * undefined when it is gone already, or is none.
   */
  originBelow(layer: ChainId): Promise<SnapshotOrigin | undefined>;
  /** Undoes read-only flags of a container and of all subvolumes inside, and `chattr +i` and `+a` of their roots. */
  unlockContainer(id: string): Promise<void>;
  /** Throws SubvolumeError when a file of the container is swap space or the disk of a loop device; changes nothing. */
  checkContainerUnused(id: string): Promise<void>;
  /**
   * Paths in a layer, or in what `freezeWork(key)` made, of files with inode flags or btrfs properties, which no blob can
   * say; with a text that tells which. Takes as long as the tree is big.
   */
  listMarked(tree: { readonly layer: ChainId } | { readonly key: string }): Promise<ReadonlyMap<string, string>>;
  /** Bytes of file contents written to a container since it was made, as far as they are on disk. O(changes). */
  writtenBytes(containerId: string): Promise<number>;
  /** The writable subvolume of a cache mount, made when there is none: call it under a lock. Resolves with its absolute path. */
  openCache(
    name: string,
    attributes: { readonly mode: number; readonly uid: number; readonly gid: number },
  ): Promise<string>;
  /** Writable snapshot of a cache mount under `key`, for `removeWork(key)`. Resolves with its absolute path. */
  copyCache(key: string, name: string): Promise<string>;
  removeCache(name: string): Promise<void>;
  /** Names of all cache mounts, sorted. */
  listCaches(): Promise<string[]>;
  /** Bytes of file contents that are in a layer and not in what it is a snapshot of, or in a cache mount; as far as they are on disk. */
  ownBytes(tree: { readonly layer: ChainId } | { readonly cache: string }): Promise<number>;
  /** Read-only snapshot under `key` of what `prepare(from)` made, for `removeWork(key)`. Resolves with its absolute path. */
  freezeWork(key: string, from: string): Promise<string>;
}

/** Two trees to compare, as absolute paths. */
export interface ChangesInput {
  /** A committed layer; undefined: everything is added. */
  readonly lower: string | undefined;
  /** A frozen (read-only) snapshot. */
  readonly upper: string;
  readonly signal?: AbortSignal | undefined;
  /** Hears in one line why both trees are walked where that was not to be expected. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** What is known of subvolumes that are gone; asked for only when btrfs alone does not know how the trees are related. */
  readonly recordedOrigins?: (() => Promise<readonly SnapshotOrigin[]>) | undefined;
}

/** What carries an embedded pool. */
export type PoolBacking = { readonly file: string } | { readonly device: string };

/** How to open a store. */
export interface OpenStoreOptions {
  /** Make the store when there is none. */
  readonly create: boolean;
  /** Virtual size of a new embedded pool, bytes; given, a pool is made even on btrfs. */
  readonly size?: number | undefined;
  /** Block device to format as a new pool in place of a file; refused when it holds a file system already. */
  readonly device?: string | undefined;
  /** Bytes to keep free, default 1 GiB. */
  readonly reserve?: number | undefined;
  /** Told, in one line, when a pool was made or mounted. */
  readonly onNote?: ((line: string) => void) | undefined;
}
