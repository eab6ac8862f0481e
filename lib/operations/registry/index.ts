/**
 * Reads from registries and makes small changes there: resolves names, reads documents and blobs, handles tags and
 * logins.
 */
export * from './by-protocol.js';
export * from './delete-remote.js';
export * from './find-tag.js';
export * from './log-in.js';
export * from './measure-traffic.js';
export * from './look-up-v1.js';
export * from './read-blob.js';
export * from './registry-access.js';
export * from './registry-documents.js';
export * from './registry-queries.js';
export * from './registry-source.js';
export * from './remove-tag.js';
export * from './resolve-image.js';
export * from './schema1-image.js';
export * from './shared-read.js';
