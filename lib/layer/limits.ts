/**
 * Limits that make a hostile layer fail with an error instead of exhausting memory or time. The file system limits disk
 * space (DiskSpaceError).
 */

/** Maximum data after the end marker of the tar (tape records are usually padded to 10 KiB). Bytes. */
export const MAX_TRAILING_BYTES = 16 * 1024 * 1024;

/** Maximum expansion of a layer larger than EXPANSION_FLOOR; deflate alone reaches at most 1032. */
export const MAX_EXPANSION = 2000;
/** The expansion is not checked below this size of the tar. Bytes. */
export const EXPANSION_FLOOR = 1024 * 1024 * 1024;

/** Maximum size of one PAX header or one GNU long name. Bytes. */
export const MAX_EXTENSION_BYTES = 1024 * 1024;
/** Maximum number of extended attributes of one member. */
export const MAX_XATTRS = 1024;
/** Maximum length of a path inside the root: the kernel's PATH_MAX without the NUL. Bytes. */
export const MAX_PATH_BYTES = 4095;
/** Maximum number of components of a path inside the root. */
const MAX_PATH_DEPTH = 512;
/** Limits for the paths of entries and the targets of hard links. */
export const PATH_LIMITS = { maxBytes: MAX_PATH_BYTES, maxDepth: MAX_PATH_DEPTH };
/** Maximum number of data regions of one sparse file. */
export const MAX_SPARSE_REGIONS = 262_144;
/** Maximum size of the header fields of one gzip member (extra, name, comment). Bytes. */
export const MAX_GZIP_HEADER_BYTES = 128 * 1024;
/** Maximum number of notes returned for one layer; further ones are only counted. */
export const MAX_NOTES = 50;
