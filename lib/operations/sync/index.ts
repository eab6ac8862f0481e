/**
 * Mirrors repositories: plans, copies, deletes and reports tags.
 */
export * from './metrics.js';
export * from './sync.js';
export * from './tag-job.js';
export * from './tag-mirror.js';
export * from './types.js';
