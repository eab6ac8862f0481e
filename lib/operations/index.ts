/**
 * What can be done with images and containers: ordering, locks and concurrency, no detail. Each operation takes its `deps`
 * (interfaces of the drivers, made by the caller) and returns data. Constructs no driver and prints nothing. May import
 * `errors`, `spec`, `util`, `progress`, and types of the driver rooms.
 */
export type { BringInRequest } from './bring-in-image.js';
export * from './change-image.js';
export * from './check-store.js';
export * from './collect-garbage.js';
export * from './commit.js';
export * from './containers.js';
export * from './copy-files.js';
export * from './copy/index.js';
export * from './delete-remote.js';
export * from './deps.js';
export * from './diff.js';
export * from './export-container.js';
export * from './find-container.js';
export * from './find-image.js';
export * from './image-history.js';
export { readImageConfig } from './image-of-container.js';
export * from './image-tree.js';
export * from './import-image.js';
export * from './inspect-image.js';
export type { ImageQuery, PulledLayer } from './look-up-image.js';
export * from './list-images.js';
export * from './load-images.js';
export * from './log-in.js';
export * from './make-index.js';
export * from './name-image.js';
export * from './plan-pull.js';
export * from './pull.js';
export * from './push.js';
export type { PushedState } from './push-blob.js';
export * from './read-image-file.js';
export * from './registry-access.js';
export * from './registry-documents.js';
export * from './registry-queries.js';
export * from './remove-container.js';
export * from './remove-image.js';
export * from './resolve-image.js';
export * from './run-container.js';
export type { RestoreDeps } from './restore-layers.js';
export * from './save-images.js';
export * from './store-storage.js';
export * from './store-usage.js';
export * from './sync/index.js';
