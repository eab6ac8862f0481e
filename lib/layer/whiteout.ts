/** Prefix of a file that deletes its namesake of the layers below (image-spec layer.md, "Whiteouts"). */
export const WHITEOUT_PREFIX = '.wh.';
/** Name of the file that hides everything the layers below have in its directory. */
export const OPAQUE_MARKER = '.wh..wh..opq';
