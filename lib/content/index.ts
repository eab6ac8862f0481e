/**
 * Immutable blobs on disk, addressed by digest, and resumable downloads. Knows only bytes and digests: no tar, no registry,
 * no image. Safe for concurrent processes, without a daemon. May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export { createContentStore, type ContentMaintenance } from './store.js';
export type { Leftover } from './leftovers.js';
export * from './types.js';
