/**
 * Creates images without a store: config, append, rebase and flatten for images at registries, in layouts and in archives.
 */
export * from './change-remote-image.js';
export type * from './types.js';
