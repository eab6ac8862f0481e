import { digestAlgorithm, digestHex, type Digest } from './digest.js';

/**
 * The tag that clients use for the referrers of a digest when the registry does not support them (distribution-spec,
 * "Referrers Tag Schema").
 */
export function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest).slice(0, 64)}`;
}
