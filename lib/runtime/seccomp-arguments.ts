/** A condition on one argument of a system call (runtime-spec config-linux.md, "Seccomp"). */
export interface SeccompCondition {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: `SCMP_CMP_${string}`;
}

/** The allowed uses of one system call, and those refused with EPERM; all others fail with ENOSYS. */
export interface ArgumentRules {
  readonly allowed: readonly SeccompCondition[];
  readonly refused: readonly SeccompCondition[];
}

/** The kernel uses only the lower half of these arguments, so a filter that compares the whole argument could be bypassed. */
const INT = 0xffff_ffff;

const masked = (index: number, mask: number, value: number): SeccompCondition => ({
  index,
  value: mask,
  valueTwo: value,
  op: 'SCMP_CMP_MASKED_EQ',
});

/**
 * Socket families (bits/socket.h): all below 64 except AF_ALG (38), which reaches the kernel's ciphers
 * (CVE-2026-31431), and AF_VSOCK (40), which reaches the hypervisor's host. Each pair is a mask and the masked value.
 */
export const SOCKET_FAMILIES: ArgumentRules = {
  refused: [38, 40].map((family) => masked(0, INT, family)),
  allowed: (
    [
      [0xffff_ffe0, 0],
      [0xffff_fffc, 32],
      [0xffff_fffe, 36],
      [INT, 39],
      [INT, 41],
      [0xffff_fffe, 42],
      [0xffff_fffc, 44],
      [0xffff_fff0, 48],
    ] as const
  ).map(([mask, value]) => masked(0, mask, value)),
};

const BTRFS_TYPE = 0x94;

/** btrfs requests (linux/btrfs.h) that change subvolumes, their flags or identity, or what other users see of them. */
const BTRFS_REFUSED = [
  0x5000_9401, // SNAP_CREATE
  0x5000_9417, // SNAP_CREATE_V2
  0x5000_940e, // SUBVOL_CREATE
  0x5000_9418, // SUBVOL_CREATE_V2
  0x5000_940f, // SNAP_DESTROY
  0x5000_943f, // SNAP_DESTROY_V2
  0x4008_941a, // SUBVOL_SETFLAGS
  0x4008_9413, // DEFAULT_SUBVOL
  0xc0c8_9425, // SET_RECEIVED_SUBVOL
  0xc0c0_9425, // the same for 32-bit programs
  0x4048_9426, // SEND
  0x4044_9426, // the same for 32-bit programs
];

/** btrfs requests that copy, read or wait; all others fail with ENOSYS. */
const BTRFS_ALLOWED = [
  0x4004_9409, // FICLONE
  0x4020_940d, // FICLONERANGE
  0xc018_9436, // FIDEDUPERANGE
  0x5000_9402, // DEFRAG
  0x4030_9410, // DEFRAG_RANGE
  0x0000_9408, // SYNC
  0x8008_9418, // START_SYNC
  0x4008_9416, // WAIT_SYNC
  0x8008_9419, // SUBVOL_GETFLAGS
  0xd000_9412, // INO_LOOKUP
  0xc010_9414, // SPACE_INFO
  0xd000_941e, // DEV_INFO
  0x8400_941f, // FS_INFO
  0x8100_9431, // GET_FSLABEL
  0x8018_9439, // GET_FEATURES
  0x81f8_943c, // GET_SUBVOL_INFO
  0xd000_943d, // GET_SUBVOL_ROOTREF
  0xd000_943e, // INO_LOOKUP_USER
];

/**
 * ioctl(2) requests: all except those that change btrfs subvolumes. A filter cannot express "not the type of btrfs",
 * but every other type differs in at least one of its eight bits.
 */
export const IOCTL_REQUESTS: ArgumentRules = {
  refused: BTRFS_REFUSED.map((request) => masked(1, INT, request)),
  allowed: [
    ...Array.from({ length: 8 }, (_, bit) => {
      const mask = 2 ** (8 + bit);
      return masked(1, mask, (BTRFS_TYPE >> bit) % 2 === 0 ? mask : 0);
    }),
    ...BTRFS_ALLOWED.map((request) => masked(1, INT, request)),
  ],
};
