export * from './copy.js';
export type { CopiedState } from './copy-blob.js';
export * from './copy-image.js';
export { CopyLimits, type CopiedBlob, type CopiedTarget, type CopyDeps, type CopyTarget } from './copy-tree.js';
export * from './known-blobs.js';
export * from './registry-transport.js';
export type { Selection } from './select-manifest.js';
export * from './store-transport.js';
export * from './transport-name.js';
