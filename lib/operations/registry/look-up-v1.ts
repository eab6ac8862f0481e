import { UsageError } from '../../errors.js';
import type { V1RemoteImage, V1Repository } from '../../registry/index.js';
import { checkV1Chain, type ImageSelector, type Reference } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';

/** The number of concurrent requests for images, in addition to the limit of the host. */
const PARALLEL_IMAGES = 16;

/** The tag of a reference. Throws UsageError for a digest, which protocol v1 does not have. */
export function tagForV1({ host, tag, digest }: ImageSelector & Pick<Reference, 'host'>): string {
  if (tag !== undefined && digest === undefined) return tag;
  throw new UsageError(`${host} speaks registry protocol v1, which has no digests`, { hint: 'give a tag instead' });
}

/**
 * Fetches the v1 images that a tag leads to, root first, without their layers. Throws the errors of the registry,
 * InvalidManifestError.
 */
export async function lookUpV1(
  repository: V1Repository,
  reference: Reference,
  options: { readonly signal: AbortSignal },
): Promise<readonly V1RemoteImage[]> {
  const id = await repository.resolve(tagForV1(reference), options);
  const ids = await repository.ancestry(id, options);
  const images = await mapLimited(ids, PARALLEL_IMAGES, (each) => repository.image(each, options));
  checkV1Chain(images);
  return images;
}
