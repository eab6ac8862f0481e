/**
 * Build contexts: where COPY, ADD and mounts take files from, which of them an instruction selects, what these hash to, and how
 * they are written into a stage: a directory, or a layer that is made without unpacking what is below it.
 */
export type * from './types.js';
export { createBuildSources, type BuildSources, type BuildSourcesOptions } from './build-sources.js';
export { readContent } from './read-content.js';
export { makeDirectories } from './write-items.js';
export { findUserOwner, type Owner } from './owner.js';
export { Spool, type SpooledFile } from './spool.js';
export { bytesOf } from './open-tar.js';
