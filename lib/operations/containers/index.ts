/**
 * Containers: create, list, run, copy files, export.
 */
export * from './containers.js';
export * from './copy-files.js';
export * from './export-container.js';
export * from './run-container.js';
