import type { BuildContextDeps } from '../operations/build-context/index.js';
import type { RemoteChangeDeps } from '../operations/mutate-remote/index.js';
import type { HttpClient } from '../http/index.js';
import { clientOptions } from './client-options.js';
import type { Settings } from './settings.js';

/** The drivers of build contexts, each loaded on first use. `close` ends the connections of downloads. */
export function buildDrivers(settings: Settings): BuildContextDeps & { close(): Promise<void> } {
  let http: Promise<HttpClient> | undefined;
  const connect = async (): Promise<HttpClient> => {
    const { createHttpClient, KnownHosts } = await import('../http/index.js');
    const known = await clientOptions(settings, new KnownHosts(), {});
    const { parallel, retries, knownHosts, timeouts, limitRate, tls, proxy, warn, log } = known;
    const given = { parallel, retries, knownHosts, timeouts, limitRate, tls, proxy, warn, log };
    return createHttpClient(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
  };
  return {
    openDirectory: async (root) => (await import('../rootfs/index.js')).openDirectoryTree(root),
    openWriter: async (root, options) => (await import('../rootfs/index.js')).openTreeWriter(root, options),
    createIndexer: async () => (await import('../layer/index.js')).createLayerIndexer(),
    openTarTree: async (index, data) => {
      const { LayerIndex, LayeredTree } = await import('../layer/index.js');
      const layer = { index: new LayerIndex(index), data: () => Promise.resolve(data) };
      return new LayeredTree([layer], { plainNames: true });
    },
    beginsTar: async (fd, size) => (await import('../layer/index.js')).beginsTar(fd, size),
    download: async (url, signal) => {
      http ??= connect();
      return (await http).stream({ method: 'GET', url, anonymous: true, signal });
    },
    onNote: (line) => settings.progress.note(line),
    close: async () => {
      if (http !== undefined) await (await http).close();
    },
  };
}

/** Drivers, besides transports, for building and changing images without a store. */
export function remoteBuildDrivers(): Pick<
  RemoteChangeDeps,
  'createIndexer' | 'isLayerIndex' | 'openLayers' | 'createLayerBuilder' | 'packFileTree'
> {
  return {
    createIndexer: async () => (await import('../layer/index.js')).createLayerIndexer(),
    isLayerIndex: async (index) => (await import('../layer/index.js')).isLayerIndex(index),
    openLayers: async (layers) => {
      const { LayerIndex, LayeredTree } = await import('../layer/index.js');
      return new LayeredTree(layers.map(({ index, data }) => ({ index: new LayerIndex(index), data })));
    },
    packFileTree: async (tree, output) => (await import('../layer/index.js')).packFileTree(tree, output),
    createLayerBuilder: async (base) => (await import('../layer/index.js')).createLayerBuilder(base),
  };
}
