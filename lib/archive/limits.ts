import { ArchiveFormatError } from '../errors.js';

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
/** Names of all its images together, and of one image, whose record is written for each. */
const MAX_NAMES = 10_000;
const MAX_NAMES_OF_IMAGE = 1000;
/** Layers of an image in `manifest.json`, as of a manifest. */
export const MAX_LAYERS = 1024;
/** A compressed archive may grow by this factor once it is larger than EXPANSION_FLOOR; deflate alone cannot exceed 1032. */
export const MAX_EXPANSION = 2000;
/** Bytes below which the factor is not looked at. */
export const EXPANSION_FLOOR = 1024 * 1024 * 1024;

/** Checks how many names the images of an archive have, given for each image. Throws ArchiveFormatError. */
export function checkNameCounts(title: string, counts: readonly number[]): void {
  if (counts.some((count) => count > MAX_NAMES_OF_IMAGE))
    throw new ArchiveFormatError(`${title} has an image of over ${MAX_NAMES_OF_IMAGE} names`);
  if (counts.reduce((sum, count) => sum + count, 0) > MAX_NAMES)
    throw new ArchiveFormatError(`${title} has over ${MAX_NAMES} names of images`);
}
