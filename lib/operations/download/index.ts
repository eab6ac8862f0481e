/** Downloads blobs into the store: concurrent and resumable, from the registry or another place that has them. */
export * from './blob-downloads.js';
export * from './blob-not-found-error.js';
export * from './blob-places.js';
export * from './drop-damaged-blobs.js';
export * from './fetch-blob.js';
export * from './fetch-from-places.js';
export * from './fetch-v1-layer.js';
export * from './while-fetching.js';
