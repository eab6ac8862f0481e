/**
 * Builds images from Dockerfiles: each step on a snapshot of the one before and kept by its key, stages side by side, layers
 * packed while later steps run.
 */
export * from './build.js';
export type * from './types.js';
