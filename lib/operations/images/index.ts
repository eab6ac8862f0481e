/**
 * Reads, names and removes images: inspect, history, tree, tag, untag, rmi, single files.
 */
export * from './image-history.js';
export * from './image-tree.js';
export * from './inspect-image.js';
export * from './name-image.js';
export * from './read-image-file.js';
export * from './remove-image.js';
