/**
 * Bounds on what a layer may ask for, so that a hostile one ends in an error instead of filling memory or time.
 * Disk space is bounded by the file system: DiskSpaceError.
 */

/** Bytes accepted after the end marker of the tar (padding of tape records is 10 KiB as a rule). */
export const MAX_TRAILING_BYTES = 16 * 1024 * 1024;

/** A layer may grow by this factor once it is larger than EXPANSION_FLOOR; deflate alone cannot exceed 1032. */
export const MAX_EXPANSION = 2000;
/** Bytes of tar below which the factor is not looked at. */
export const EXPANSION_FLOOR = 1024 * 1024 * 1024;

/** Bytes of one PAX header or one GNU long name. */
export const MAX_EXTENSION_BYTES = 1024 * 1024;
/** Extended attributes of one member. */
export const MAX_XATTRS = 1024;
/** Bytes of a path inside the root, the kernel's own bound without the NUL. */
export const MAX_PATH_BYTES = 4095;
/** Components of a path inside the root. */
const MAX_PATH_DEPTH = 512;
/** Both, for paths of entries and targets of hard links. */
export const PATH_LIMITS = { maxBytes: MAX_PATH_BYTES, maxDepth: MAX_PATH_DEPTH };
/** Data regions of one sparse file. */
export const MAX_SPARSE_REGIONS = 262_144;
/** Bytes of the header fields of one gzip member (extra, name, comment). */
export const MAX_GZIP_HEADER_BYTES = 128 * 1024;
/** Notes handed back for one layer; the rest is counted only. */
export const MAX_NOTES = 50;
