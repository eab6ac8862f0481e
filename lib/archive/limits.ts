import { ArchiveFormatError } from '../errors.js';

/** Limits that make a hostile archive fail with an error instead of filling memory or disk. */

/** Maximum number of members of a tar; an image of 127 layers has fewer than 600. */
export const MAX_MEMBERS = 100_000;
/** Maximum length of a member's name or link target, in bytes. */
export const MAX_NAME_BYTES = 4096;
/** Maximum number of links followed from one name. */
export const MAX_LINK_DEPTH = 8;
/** Maximum size of `index.json`, `manifest.json` and `repositories`, in bytes. */
export const MAX_LISTING_BYTES = 4 * 1024 * 1024;
/** Maximum number of images in an archive. */
export const MAX_IMAGES = 10_000;
/** Maximum number of names of all images together, and of one image, whose record is written once per name. */
const MAX_NAMES = 10_000;
const MAX_NAMES_OF_IMAGE = 1000;
/** Maximum number of layers of an image in `manifest.json`, as in a manifest. */
export const MAX_LAYERS = 1024;
/** Maximum expansion of a compressed archive larger than EXPANSION_FLOOR; deflate alone reaches at most 1032. */
export const MAX_EXPANSION = 2000;
/** The expansion is not checked below this size in bytes. */
export const EXPANSION_FLOOR = 1024 * 1024 * 1024;

/** Checks the number of names of each image in an archive. Throws ArchiveFormatError. */
export function checkNameCounts(title: string, counts: readonly number[]): void {
  if (counts.some((count) => count > MAX_NAMES_OF_IMAGE))
    throw new ArchiveFormatError(`${title} has an image of over ${MAX_NAMES_OF_IMAGE} names`);
  if (counts.reduce((sum, count) => sum + count, 0) > MAX_NAMES)
    throw new ArchiveFormatError(`${title} has over ${MAX_NAMES} names of images`);
}
