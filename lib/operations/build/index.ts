/**
 * Builds images from Dockerfiles: each step runs on a snapshot of the previous one and is cached by its key. Stages run
 * concurrently, and layers are packed while later steps run.
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
