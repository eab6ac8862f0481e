import { join } from 'node:path';
import { InvalidReferenceError } from '../errors.js';
import { digestHex, parseDigest, type ChainId } from '../spec/index.js';
import { namesIn } from '../util/index.js';
import type { Snapshotter } from './types.js';

interface SnapshotterOptions {
  /** Root of an opened store, with its directories. */
  readonly root: string;
  /** File of the embedded pool, for the space report. */
  readonly poolFile?: string | undefined;
  /** True when a process is working on `key`. Default: only keys prepared by this snapshotter are in use. */
  readonly isAlive?: (key: string) => boolean | Promise<boolean>;
  /** True when container `id` is recorded or being created. Without it, `sweep` keeps all containers. */
  readonly isContainer?: (id: string) => boolean | Promise<boolean>;
}

const KEY = /^[0-9a-f]{1,128}$/;

/** Creates a snapshotter for `root`. Native code is loaded by the first method that needs it. */
export function createSnapshotter(options: SnapshotterOptions): Snapshotter {
  const { root } = options;
  const layers = join(root, 'layers');
  const work = join(root, 'work');
  const containers = join(root, 'containers');
  const own = new Set<string>();
  const isAlive = async (key: string): Promise<boolean> => own.has(key) || ((await options.isAlive?.(key)) ?? false);
  const native = () => import('./subvolumes.js');
  const layerPath = (layer: ChainId): string => join(layers, digestHex(parseDigest(layer)));
  const containerPath = (id: string): string => join(containers, checkKey(id), 'rootfs');
  /** Finished but unnamed work is stored beside the layers, because a read-only subvolume cannot be moved to another directory. */
  const unnamedPath = (key: string): string => join(layers, `.${checkKey(key)}`);
  const workPath = (key: string): string => join(work, checkKey(key));
  const trash = join(root, 'trash');
  const caches = join(root, 'cache');
  const cachePath = (name: string): string => join(caches, checkKey(name));
  /** Marks `key` as in use, unless `make` fails. */
  const claim = async (key: string, path: string, make: () => Promise<void>): Promise<string> => {
    own.add(key);
    try {
      await make();
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
      const { makeWritable, snapshotWork } = await native();
      return claim(key, path, async () => {
        if (typeof parent !== 'object') {
          await makeWritable(path, parent === undefined ? undefined : { layer: parent, path: layerPath(parent) });
        } else {
          const below = 'work' in parent ? workPath(parent.work) : unnamedPath(parent.frozen);
          await snapshotWork(path, { path: below, readOnly: false });
        }
      });
    },
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
      const path = unnamedPath(key);
      const { freezeContainer } = await native();
      return claim(key, path, () =>
        freezeContainer(path, { id: containerId, path: containerPath(containerId), trash }),
      );
    },
    async changeFrozen(key, change) {
      await (await native()).changeFrozen(unnamedPath(key), change);
    },
    async freezeWork(key, from) {
      const path = unnamedPath(key);
      const { snapshotWork } = await native();
      return claim(key, path, () => snapshotWork(path, { path: workPath(from), readOnly: true }));
    },
    async openCache(name, attributes) {
      const path = cachePath(name);
      const { makeCache } = await native();
      await makeCache(path, attributes);
      return path;
    },
    async copyCache(key, name) {
      const path = workPath(key);
      const { snapshotWork } = await native();
      return claim(key, path, () => snapshotWork(path, { path: cachePath(name), readOnly: false }));
    },
    async removeCache(name) {
      await (await native()).removeTree(cachePath(name), trash);
    },
    async listCaches() {
      return (await namesIn(caches)).filter((name) => KEY.test(name)).sort();
    },
    async ownBytes(tree) {
      return (await native()).writtenBytes('layer' in tree ? layerPath(tree.layer) : cachePath(tree.cache));
    },
    async originBelow(layer) {
      return (await native()).originBelow(layerPath(layer));
    },
    async unlockContainer(id) {
      await (await native()).unlockContainer(containerPath(id));
    },
    async checkContainerUnused(id) {
      await (await native()).checkContainerUnused(containerPath(id), trash);
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
