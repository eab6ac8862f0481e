/**
 * New images from old ones without a store: config, append, rebase, flatten of images at registries, in layouts and in archives.
 */
export * from './change-remote-image.js';
export type * from './types.js';
