/**
 * Sources and destinations of images (registry, store, protocol v1) and the trip of an image between them.
 */
export * from './copy.js';
export * from './copy-blob.js';
export * from './copy-image.js';
export * from './copy-tree.js';
export * from './foreign-layer-note.js';
export * from './known-blobs.js';
export * from './make-index.js';
export * from './prepare-push.js';
export * from './registry-transport.js';
export * from './store-destination.js';
export * from './store-source.js';
export * from './stored-image.js';
export * from './v1-destination.js';
export * from './v1-source.js';
