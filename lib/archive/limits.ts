/** Bounds on what an archive may ask for, so that a hostile one ends in an error instead of filling memory or disk. */

/** Members of a tar: an image of 127 layers has under 600. */
export const MAX_MEMBERS = 100_000;
/** Bytes of a member's name or link target. */
export const MAX_NAME_BYTES = 4096;
/** Links followed from one name. */
export const MAX_LINK_DEPTH = 8;
/** Bytes of `index.json`, `manifest.json`, `repositories`. */
export const MAX_LISTING_BYTES = 4 * 1024 * 1024;
/** Images of an archive. */
export const MAX_IMAGES = 10_000;
/** A compressed archive may grow by this factor once it is larger than EXPANSION_FLOOR; deflate alone cannot exceed 1032. */
export const MAX_EXPANSION = 2000;
/** Bytes below which the factor is not looked at. */
export const EXPANSION_FLOOR = 1024 * 1024 * 1024;
