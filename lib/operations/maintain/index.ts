/**
 * Maintenance of the store: garbage collection, check and repair, usage.
 */
export * from './check-store.js';
export * from './collect-garbage.js';
export * from './store-usage.js';
