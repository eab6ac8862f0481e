/**
 * Differences between containers and images, local or remote.
 */
export * from './diff.js';
