import { InvalidManifestError } from '../../errors.js';
import { parseJson } from '../parse-json.js';
import { isV1Id, type V1Image } from './v1-image.js';

/** Longer chains than any engine supports. */
export const MAX_V1_ANCESTRY = 1024;

/**
 * Parses the response to `GET images/ID/ancestry` (the image first, its root last) and returns it root first. Throws
 * InvalidManifestError for any other document, a repeated ID and invalid IDs.
 */
export function parseAncestry(bytes: Uint8Array, id: string): string[] {
  const where = `the ancestry of ${id}`;
  const fail = (why: string): never => {
    throw new InvalidManifestError(`${where} ${why}`, { where });
  };
  const list = parseJson(bytes, where);
  if (!Array.isArray(list) || list.length === 0) return fail('is not a list of image IDs');
  if (list.length > MAX_V1_ANCESTRY) fail(`has ${list.length} images, over the limit of ${MAX_V1_ANCESTRY}`);
  const odd: unknown = list.find((entry) => !isV1Id(entry));
  if (odd !== undefined) fail(`names ${JSON.stringify(odd).slice(0, 100)}, which is not an image ID`);
  if (list[0] !== id) fail(`starts with another image, ${String(list[0])}`);
  if (new Set(list).size !== list.length) fail('contains the same image twice');
  return (list as string[]).toReversed();
}

/** Checks that images (root first) are parents of each other. Throws InvalidManifestError. */
export function checkV1Chain(images: readonly Pick<V1Image, 'id' | 'parent'>[]): void {
  images.forEach(({ id, parent }, index) => {
    const below = images[index - 1]?.id;
    if (parent === below) return;
    const where = `v1 image ${id}`;
    throw new InvalidManifestError(
      `${where} has the parent ${parent ?? '(none)'}, but the ancestry has ${below ?? '(none)'}`,
      { where },
    );
  });
}
