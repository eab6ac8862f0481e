import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidReferenceError } from '../errors.js';
import { digestHex, parseDigest, type ChainId } from '../spec/index.js';
import type { SnapshotOrigin, Snapshotter } from './types.js';

/** Where the snapshotter works and what it may ask. */
export interface SnapshotterOptions {
  /** An opened store root, with its directories. */
  readonly root: string;
  /** File of the embedded pool, for the space report. */
  readonly poolFile?: string | undefined;
  /** Whether some process works on `key`. Without it, only keys that this snapshotter prepared count as alive. */
  readonly isAlive?: (key: string) => boolean | Promise<boolean>;
  /** Whether container `id` is recorded or being created. Without it, `sweep` leaves containers alone. */
  readonly isContainer?: (id: string) => boolean | Promise<boolean>;
}

/** A snapshotter that can freeze containers too. */
export interface FreezingSnapshotter extends Snapshotter {
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
  assertContainerUnused(id: string): Promise<void>;
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
  /** As `prepare`, on top of what `freezeWork(from)` made. */
  prepareOn(key: string, from: string): Promise<string>;
}

const KEY = /^[0-9a-f]{1,128}$/;

/** A snapshotter on `root`. Native code is loaded by the first method that needs it. */
export function createSnapshotter(options: SnapshotterOptions): FreezingSnapshotter {
  const { root } = options;
  const layers = join(root, 'layers');
  const work = join(root, 'work');
  const containers = join(root, 'containers');
  const own = new Set<string>();
  const isAlive = async (key: string): Promise<boolean> => own.has(key) || ((await options.isAlive?.(key)) ?? false);
  const native = () => import('./subvolumes.js');
  const layerPath = (layer: ChainId): string => join(layers, digestHex(parseDigest(layer)));
  const containerPath = (id: string): string => join(containers, checkKey(id), 'rootfs');
  /** Finished but unnamed work lies beside the layers: a read-only subvolume cannot move to another directory. */
  const unnamedPath = (key: string): string => join(layers, `.${checkKey(key)}`);
  const workPath = (key: string): string => join(work, checkKey(key));
  const trash = join(root, 'trash');
  const caches = join(root, 'cache');
  const cachePath = (name: string): string => join(caches, checkKey(name));
  const make = async (key: string, path: string, of: { path: string; readOnly: boolean }): Promise<string> => {
    const { snapshotWork } = await native();
    own.add(key);
    try {
      await snapshotWork(path, of);
    } catch (error) {
      own.delete(key);
      throw error;
    }
    return path;
  };

  return {
    layerPath,
    containerPath,
    async has(layer) {
      return (await native()).isCommitted(layerPath(layer));
    },
    async prepare(key, parent) {
      const path = workPath(key);
      const { makeWritable } = await native();
      own.add(key);
      try {
        await makeWritable(path, parent === undefined ? undefined : { layer: parent, path: layerPath(parent) });
      } catch (error) {
        own.delete(key);
        throw error;
      }
      return path;
    },
    prepareAbove: (key, below) => make(key, workPath(key), { path: workPath(below), readOnly: false }),
    async commit(layer, key) {
      const { publish } = await native();
      await publish({ work: workPath(key), unnamed: unnamedPath(key), target: layerPath(layer), trash });
      own.delete(key);
    },
    async createContainer(id, parent) {
      const { makeContainer } = await native();
      return makeContainer(
        containerPath(id),
        parent === undefined ? undefined : { layer: parent, path: layerPath(parent) },
      );
    },
    async freeze(key, containerId) {
      const { freezeContainer } = await native();
      const path = unnamedPath(key);
      own.add(key);
      try {
        await freezeContainer(path, { id: containerId, path: containerPath(containerId), trash });
      } catch (error) {
        own.delete(key);
        throw error;
      }
      return path;
    },
    async changeFrozen(key, change) {
      await (await native()).changeFrozen(unnamedPath(key), change);
    },
    async openCache(name, attributes) {
      const path = cachePath(name);
      const { makeCache } = await native();
      await makeCache(path, attributes);
      return path;
    },
    copyCache: (key, name) => make(key, workPath(key), { path: cachePath(name), readOnly: false }),
    async removeCache(name) {
      await (await native()).removeTree(cachePath(name), trash);
    },
    async listCaches() {
      const names = await readdir(caches).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw error;
      });
      return names.filter((name) => KEY.test(name)).sort();
    },
    async ownBytes(tree) {
      return (await native()).writtenBytes('layer' in tree ? layerPath(tree.layer) : cachePath(tree.cache));
    },
    freezeWork: (key, from) => make(key, unnamedPath(key), { path: workPath(from), readOnly: true }),
    prepareOn: (key, from) => make(key, workPath(key), { path: unnamedPath(from), readOnly: false }),
    async originBelow(layer) {
      return (await native()).originBelow(layerPath(layer));
    },
    async unlockContainer(id) {
      await (await native()).unlockContainer(containerPath(id));
    },
    async assertContainerUnused(id) {
      await (await native()).assertContainerUnused(containerPath(id), trash);
    },
    async listMarked(tree) {
      const { listMarked } = await import('./inode-traits.js');
      return listMarked('layer' in tree ? layerPath(tree.layer) : unnamedPath(tree.key));
    },
    async writtenBytes(containerId) {
      return (await native()).writtenBytes(containerPath(containerId));
    },
    async removeWork(key) {
      const { removeTree } = await native();
      for (const path of [workPath(key), unnamedPath(key)]) await removeTree(path, trash);
      own.delete(key);
    },
    async removeLayer(layer) {
      await (await native()).removeTree(layerPath(layer), trash);
    },
    async removeContainer(id) {
      await (await native()).removeContainer(containerPath(id), trash);
    },
    async listLayers() {
      return (await native()).listCommitted(layers);
    },
    async sweep() {
      const { sweepStore } = await native();
      return sweepStore({ layers, work, containers, trash, isAlive, isContainer: options.isContainer });
    },
    async space() {
      return (await import('./space.js')).measureSpace(root, options.poolFile);
    },
    async settleSpace(signal) {
      await (await import('./space.js')).settleSpace(root, signal);
    },
    async sync() {
      await (await native()).syncStore(root);
    },
  };
}

function checkKey(key: string): string {
  if (KEY.test(key)) return key;
  throw new InvalidReferenceError(`${JSON.stringify(key.slice(0, 200))} is not the key of a snapshot`, { input: key });
}
