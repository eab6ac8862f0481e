/**
 * Images of the store as archives: save and load.
 */
export * from './load-images.js';
export * from './save-images.js';
