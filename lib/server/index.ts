/**
 * The embedded registry of `imgtool serve`: OCI distribution-spec 1.1 over plain HTTP, from a directory of its own or from
 * any RegistryStorage. Does no authentication and no TLS, so it belongs on loopback. Knows nothing of images beyond their
 * manifests. May import `content` (its interface), util, sys, spec, errors, progress.
 */
export { openDirectoryStorage, type DirectoryStorageOptions } from './directory-storage.js';
export { startRegistryServer } from './registry-server.js';
export type * from './open-blob.js';
export type * from './types.js';
export type * from './v1/types.js';
