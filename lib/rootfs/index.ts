/**
 * Safe access inside one root directory: types and metadata of what lies there, the changes between two trees and the
 * two-tree walk that finds them. Follows no link, leaves the root by no path, knows no image, no tar and no btrfs.
 * May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export * from './byte-path.js';
export * from './change.js';
export * from './compare-trees.js';
export * from './entry-type.js';
export * from './open-parent.js';
export * from './read-metadata.js';
export * from './suspects.js';
export * from './walk-changes.js';
