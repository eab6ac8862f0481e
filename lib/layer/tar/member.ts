/** An extended attribute in an archive: name as in the kernel, binary value. */
export interface MemberXattr {
  readonly name: Buffer;
  readonly value: Buffer;
}

/** The data regions of a sparse file: pairs of offset and length in bytes, ascending. The rest are holes. */
type SparseMap = readonly number[];

export const NO_XATTRS: readonly MemberXattr[] = [];

/**
 * One member. The reader reuses the object for the next one. `name` and `linkName` are ranges of byte arrays that stay
 * valid until data or the next member is read.
 */
export class TarMember {
  /** A value of TYPE. `oldFile`, `contiguous` and `gnuSparse` are reported as `file`. */
  type = 0;
  nameBytes: Uint8Array = new Uint8Array(0);
  nameStart = 0;
  nameEnd = 0;
  linkBytes: Uint8Array = new Uint8Array(0);
  linkStart = 0;
  linkEnd = 0;
  /** Permission bits (octal 07777). */
  mode = 0;
  uid = 0;
  gid = 0;
  /** Size of the data in the archive. Bytes. */
  size = 0;
  /** Size of the file, which is larger than `size` for sparse files. Bytes. */
  realSize = 0;
  /** Seconds since 1970, rounded down; `mtimeNanos` is added. */
  mtimeSeconds = 0;
  mtimeNanos = 0;
  devMajor = 0;
  devMinor = 0;
  xattrs: readonly MemberXattr[] = NO_XATTRS;
  /** Names of attributes whose archived form has no meaning on this machine. */
  lostXattrs: readonly string[] = [];
  sparse: SparseMap | undefined;

  /** A copy of the name's bytes. */
  name(): Buffer {
    return Buffer.from(this.nameBytes.subarray(this.nameStart, this.nameEnd));
  }

  /** A copy of the link target's bytes. */
  linkName(): Buffer {
    return Buffer.from(this.linkBytes.subarray(this.linkStart, this.linkEnd));
  }
}
