/** Creates images from images, containers and tars: commit, config, append, flatten, rebase, import. */
export * from './change-image.js';
export * from './commit.js';
export * from './import-image.js';
export { derivedConfig } from './derive-image.js';
export * from './new-image.js';
