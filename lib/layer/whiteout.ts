/** Prefix of a file that deletes the file of the same name in the layers below (image-spec layer.md, "Whiteouts"). */
export const WHITEOUT_PREFIX = '.wh.';
/** Name of the file that hides all files of the layers below in its directory. */
export const OPAQUE_MARKER = '.wh..wh..opq';
