/**
 * Builds without a store, root or btrfs: images whose stages have no RUN, from the base's unchanged layers and layers
 * written straight from the context.
 */
export type * from './types.js';
export { buildWithoutStore, canBuildWithoutStore, type RemoteImageOrder } from './build-without-store.js';
export { RemoteCache, type CachedSteps, type LayersToKeep, type RemoteCacheOptions } from './remote-cache.js';
export { RemoteImages, type RemoteImage } from './remote-images.js';
export { spooledBlob } from './built-image.js';
export { CacheMountArtifacts, type CacheMountDeps } from './cache-mount-artifacts.js';
