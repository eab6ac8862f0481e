/**
 * Builds images from Dockerfiles: each step on a snapshot of the one before and kept by its key, stages side by side, layers
 * packed while later steps run.
 */
export * from './build.js';
export type * from './types.js';
export * from './stage-state.js';
export { StepLog, type LoggedStep } from './step-log.js';
export { imageConfigOf, manifestTypeOf } from './write-image.js';
export { imageBaseOf } from './base-images.js';
export { copyText, runParts } from './build-stage.js';
export { composeIndexResult } from './platform-index.js';
export { stepKey } from './step-cache.js';
