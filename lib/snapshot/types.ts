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
  prepare(key: string, parent: ChainId | undefined): Promise<string>;
  /** As `prepare`, on top of what `prepare(below)` made and is written no more; before that gets its name. */
  prepareAbove(key: string, below: string): Promise<string>;
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
