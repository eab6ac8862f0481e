import { NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { type Digest, formatReference, platformScore, type Reference, splitPlatform } from '../../spec/index.js';
import { isComplete } from '../store/index.js';
import type { PullDeps, PullRequest } from './pull-request.js';

/** The local state of an image to pull. */
interface LocalImage {
  /** The image with that name or digest, if it is complete. */
  readonly record: ImageRecord | undefined;
  /** True if the registry need not be asked. */
  readonly settled: boolean;
  /** True if there is an incomplete image. */
  readonly damaged: boolean;
}

/** Looks up an image to pull in the store, for the requested platform. */
export async function findLocal(deps: PullDeps, request: PullRequest): Promise<LocalImage> {
  const { reference, policy, platform } = request;
  const full = formatReference(reference);
  let damaged = false;
  for (const record of await deps.metadata.images.list()) {
    const byDigest = reference.digest !== undefined && isFrom(record, reference.digest);
    if (!byDigest && !(reference.digest === undefined && record.names.includes(full))) continue;
    if (request.platformGiven && platformScore(platform, splitPlatform(record.platform)) === 0) continue;
    if (!(await isComplete(deps, record))) {
      damaged = true;
      continue;
    }
    const name = tagName(reference);
    const isNamed = name === undefined || record.names.includes(name);
    return { record, settled: policy === 'missing' || policy === 'never' || (byDigest && isNamed), damaged };
  }
  return { record: undefined, settled: false, damaged };
}

/** The image name set by a pull, without the digest; undefined without a tag. */
export function tagName({ host, repository, tag }: Reference): string | undefined {
  return tag === undefined ? undefined : formatReference({ host, repository, tag });
}

/**
 * Reports whether a registry served the image under this digest. An image that came without config and manifest has it only among
 * its sources. If the manifest is a registry's, a source proves nothing: it may refer to another manifest with the same config.
 */
export function isFrom({ manifest, index, sources }: ImageRecord, digest: Digest): boolean {
  const isSource = (one: Digest): boolean => sources.some((source) => source.endsWith(`@${one}`));
  if (manifest.digest === digest || index?.digest === digest) return true;
  return isSource(digest) && !isSource(manifest.digest);
}

/** The error for a missing image when the registry must not be asked. */
export function notInStoreError(reference: Reference, { damaged }: Pick<LocalImage, 'damaged'>): NotFoundError {
  const subject = formatReference(reference);
  return new NotFoundError(`${subject} is ${damaged ? 'incomplete' : 'not'} in the store`, {
    kind: 'image',
    subject,
    hint: 'pull it without --policy never',
  });
}
