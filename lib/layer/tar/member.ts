/** An extended attribute as carried by the archive: name as the kernel spells it, binary value. */
export interface MemberXattr {
  readonly name: Buffer;
  readonly value: Buffer;
}

/** Where the data of a sparse file lies: pairs of offset and length in bytes, ascending; all else is a hole. */
export type SparseMap = readonly number[];

export const NO_XATTRS: readonly MemberXattr[] = [];

/**
 * One member, reused by the reader for the next. `name` and `linkName` are ranges of byte arrays that stay valid until
 * the reader is asked for data or for the next member.
 */
export class TarMember {
  /** A value of TYPE; `oldFile` and `contiguous` have become `file`, `gnuSparse` too. */
  type = 0;
  nameBytes: Uint8Array = new Uint8Array(0);
  nameStart = 0;
  nameEnd = 0;
  linkBytes: Uint8Array = new Uint8Array(0);
  linkStart = 0;
  linkEnd = 0;
  /** Permission bits only, octal 07777. */
  mode = 0;
  uid = 0;
  gid = 0;
  /** Bytes of data in the archive. */
  size = 0;
  /** Bytes of the file: differs from `size` for sparse files. */
  realSize = 0;
  /** Seconds since 1970, floor; with `mtimeNanos` to add. */
  mtimeSeconds = 0;
  mtimeNanos = 0;
  devMajor = 0;
  devMinor = 0;
  xattrs: readonly MemberXattr[] = NO_XATTRS;
  /** Names of attributes that the archive has in a form without meaning here. */
  lostXattrs: readonly string[] = [];
  sparse: SparseMap | undefined;

  /** The name as bytes, copied. */
  name(): Buffer {
    return Buffer.from(this.nameBytes.subarray(this.nameStart, this.nameEnd));
  }

  /** The link target as bytes, copied. */
  linkName(): Buffer {
    return Buffer.from(this.linkBytes.subarray(this.linkStart, this.linkEnd));
  }
}
