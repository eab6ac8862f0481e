/** Command numbers of send streams (enum btrfs_send_cmd in fs/btrfs/send.h). */
export const COMMAND = {
  snapshot: 2,
  mkfile: 3,
  mkdir: 4,
  mknod: 5,
  mkfifo: 6,
  mksock: 7,
  symlink: 8,
  rename: 9,
  link: 10,
  unlink: 11,
  rmdir: 12,
  setXattr: 13,
  removeXattr: 14,
  write: 15,
  clone: 16,
  truncate: 17,
  chmod: 18,
  chown: 19,
  utimes: 20,
  end: 21,
  updateExtent: 22,
  fallocate: 23,
  fileattr: 24,
  encodedWrite: 25,
  enableVerity: 26,
} as const;

/** The attribute numbers in use (same file). */
export const ATTRIBUTE = { size: 4, path: 15, pathTo: 16, pathLink: 17, fileOffset: 18 } as const;
