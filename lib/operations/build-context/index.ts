/**
 * Build contexts: the sources of files for COPY, ADD and mounts, the selection of files for an instruction, their hash,
 * and writing them to a stage, which is a directory or a layer built without unpacking the ones below.
 */
export type * from './types.js';
export { createBuildSources, type BuildSources, type BuildSourcesOptions } from './build-sources.js';
export { readContent } from './read-content.js';
export { makeDirectories } from './write-items.js';
export { findUserOwner, type Owner } from './owner.js';
export { Spool, type SpooledFile } from './spool.js';
export { bytesOf } from './open-tar.js';
