/**
 * The store as the storage of the embedded registry.
 */
export * from './store-storage.js';
