/** Pulls an image from a registry into the store, by protocol v2, schema 1 or v1. */
export * from './plan-pull.js';
export * from './pull.js';
export * from './pull-request.js';
