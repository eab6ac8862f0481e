/**
 * Converts blobs to subvolumes and back: plans, unpacks, restores and packs layers, and keeps a reserve of free space.
 */
export * from './check-layer.js';
export * from './fetch-image.js';
export * from './freeze-container.js';
export * from './given-tar.js';
export * from './image-lookups.js';
export * from './keep-reserve.js';
export * from './look-up-image.js';
export * from './made-layers.js';
export * from './pack-from-files.js';
export * from './pack-into-store.js';
export * from './restore-layers.js';
export * from './unpack-layers.js';
export * from './unpack-tar.js';
export * from './undeclared-layers.js';
export * from './write-image.js';
