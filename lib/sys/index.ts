/**
 * All native calls, through koffi: libc, btrfs ioctls, and the optional libraries libisal and libzstd. Synchronous, with
 * typed errors (SyscallError). Knows no image and no store. May import `errors` only; importing this room loads koffi.
 */
export * from './address.js';
export * from './btrfs.js';
export * from './btrfs-space.js';
export * from './direct.js';
export * from './btrfs-tree.js';
export * from './errno.js';
export * from './files.js';
export * from './flock.js';
export * from './inode-flags.js';
export * from './isal.js';
export * from './loop-device.js';
export * from './mount.js';
export * from './read-bytes.js';
export * from './window-size.js';
export * from './xattr.js';
export * from './zstd-compress.js';
export * from './zstd-decompress.js';
