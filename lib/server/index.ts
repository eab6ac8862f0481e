/**
 * The embedded registry of `imgtool serve`: OCI distribution-spec 1.1 over plain HTTP, from its own directory or from any
 * RegistryStorage. It has no authentication and no TLS, so it should listen on loopback. Knows nothing of images beyond
 * their manifests. May import `content` (its interface), util, sys, spec, errors, progress.
 */
export { openDirectoryStorage, type DirectoryStorageOptions } from './directory-storage.js';
export { startRegistryServer } from './registry-server.js';
export type * from './open-blob.js';
export type * from './types.js';
export type * from './v1/types.js';
