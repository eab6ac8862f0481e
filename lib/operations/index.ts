/**
 * What can be done with images and containers: ordering, locks and concurrency, no detail. Each operation takes its `deps`
 * (interfaces of the drivers, made by the caller) and returns data. Constructs no driver and prints nothing. May import
 * `errors`, `spec`, `util`, `progress`, and types of the driver rooms.
 */
export * from './deps.js';
export * from './archives/index.js';
export * from './build/index.js';
export type * from './build-remote/index.js';
export type { BuildContext, BuildSources } from './build-context/index.js';
export * from './containers/index.js';
export * from './convert/index.js';
export * from './copy/index.js';
export * from './diff/index.js';
export * from './download/index.js';
export * from './images/index.js';
export * from './layers/index.js';
export * from './maintain/index.js';
export * from './mutate/index.js';
export type * from './mutate-remote/index.js';
export * from './pull/index.js';
export * from './push/index.js';
export * from './registry/index.js';
export * from './serve/index.js';
export * from './store/index.js';
export * from './sync/index.js';
export * from './sync-rules/index.js';
