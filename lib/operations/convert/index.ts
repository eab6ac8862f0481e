/**
 * Selects the manifests of an index and converts images between formats and compressions.
 */
export * from './convert-image.js';
export * from './convert-layers.js';
export * from './select-manifest.js';
export * from './spool.js';
export * from './store-spool.js';
export * from './walk-manifests.js';
