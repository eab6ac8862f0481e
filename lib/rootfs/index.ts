/**
 * Safe access inside one root directory: file types and metadata, the changes between two trees and the walk that finds
 * them, directories kept open, and path parsing for writers. No path or link leaves the root. Knows no image, no tar and no
 * btrfs. May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export * from './byte-path.js';
export * from './change.js';
export * from './compare-trees.js';
export { isRefusedXattr, setDirectoryAttributes, setFileAttributes } from './copy-attributes.js';
export { copyContent } from './copy-content.js';
export * from './copy-path.js';
export type { CopyPlace } from './copy-place.js';
export * from './copy-tree.js';
export * from './dir-chain.js';
export { openDirectoryTree, type DirectoryTree } from './directory-tree.js';
export * from './entry-type.js';
export type * from './file-tree.js';
export * from './make-directories.js';
export * from './open-parent.js';
export * from './open-regular.js';
export * from './path-hash.js';
export * from './read-metadata.js';
export * from './relative-path.js';
export * from './remove-tree.js';
export * from './resolve-in-root.js';
export * from './same-inode.js';
export * from './suspects.js';
export * from './times-address.js';
export * from './rootfs-access.js';
export { openTreeWriter, type TreeWriter, type TreeWriterOptions } from './tree-writer.js';
export * from './walk-changes.js';
