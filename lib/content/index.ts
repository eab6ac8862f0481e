/**
 * Immutable blobs on disk by digest, and downloads that resume. Knows no tar, no registry, no image: bytes and digests
 * only. Safe for many processes at once; no daemon. May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export { createContentStore, type ContentMaintenance } from './store.js';
export type { Leftover } from './leftovers.js';
export * from './types.js';
