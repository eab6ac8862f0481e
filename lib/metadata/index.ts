/**
 * The mutable part of the store: records of images, layers and containers, one JSON file each, and the flock(2) locks
 * between processes. Knows no subvolume and no registry. May import errors, spec, util, sys; reading records does not load
 * native code.
 */
export * from './boot-id.js';
export * from './metadata-store.js';
export type * from './types.js';
