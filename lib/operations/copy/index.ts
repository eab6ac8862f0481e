/**
 * Sources and destinations of images (registry, store, protocol v1) and the trip of an image between them.
 */
export * from './composed-image.js';
export * from './copy.js';
export * from './copy-blob.js';
export * from './copy-image.js';
export * from './copy-tree.js';
export * from './estimate.js';
export * from './make-index.js';
export * from './registry-destination.js';
export * from './store-destination.js';
export * from './store-source.js';
export * from './stored-layers.js';
export * from './upload-records.js';
export * from './v1-destination.js';
export * from './v1-source.js';
