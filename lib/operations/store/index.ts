/**
 * Records of images, containers and layers in the local store: finds, writes and removes them under the store's lock,
 * and makes repairs at the start of each command.
 */
export * from './documents.js';
export * from './drop-unused-blobs.js';
export * from './find-container.js';
export * from './find-image.js';
export * from './has-layer.js';
export * from './is-intact.js';
export * from './is-unwritable.js';
export * from './layer-sizes.js';
export * from './list-images.js';
export * from './lock-store.js';
export * from './record-image.js';
export * from './remove-container.js';
export * from './sync-layers.js';
export * from './settle-runs.js';
export * from './sweep-store.js';
