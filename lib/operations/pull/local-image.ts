import { NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { type Digest, formatReference, platformScore, type Reference, splitPlatform } from '../../spec/index.js';
import { isComplete } from '../store/index.js';
import type { PullDeps, PullRequest } from './pull-request.js';

/** What the store has of an image to pull. */
interface LocalImage {
  /** The image of that name or digest, if it is complete. */
  readonly record: ImageRecord | undefined;
  /** The registry need not be asked. */
  readonly settled: boolean;
  /** There is one that is not complete. */
  readonly damaged: boolean;
}

/** Looks for an image to pull in the store, for the platform asked for. */
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

/** The name that a pull gives: without the digest; undefined without a tag. */
export function tagName({ host, repository, tag }: Reference): string | undefined {
  return tag === undefined ? undefined : formatReference({ host, repository, tag });
}

/**
 * Images that came without config and manifest have the digest at their registry among their sources only. Where the
 * manifest is one of a registry, another source is no proof: it may be of another manifest with the same config.
 */
export function isFrom({ manifest, index, sources }: ImageRecord, digest: Digest): boolean {
  const isSource = (one: Digest): boolean => sources.some((source) => source.endsWith(`@${one}`));
  if (manifest.digest === digest || index?.digest === digest) return true;
  return isSource(digest) && !isSource(manifest.digest);
}

/** The error for an image that the registry must not be asked for. */
export function notInStoreError(reference: Reference, { damaged }: Pick<LocalImage, 'damaged'>): NotFoundError {
  const subject = formatReference(reference);
  return new NotFoundError(`${subject} is ${damaged ? 'incomplete' : 'not'} in the store`, {
    kind: 'image',
    subject,
    hint: 'pull it without --policy never',
  });
}
