/** Pushes an image of the store to a registry, by protocol v2, schema 1 or v1. */
export * from './push.js';
export type { PushDeps, PushPlan, PushRequest, PushResult } from './push-request.js';
