/**
 * The store on disk as btrfs subvolumes: its root (a directory on btrfs, or the embedded pool), layers and containers, and
 * free space. Knows no registry, no tar and no records. May import errors, spec, util, sys, rootfs; native code is loaded by
 * functions that change or mount something, never by finding the store.
 */
export * from './changes.js';
export * from './explain-pool.js';
export * from './snapshotter.js';
export * from './store-root.js';
export type * from './types.js';
