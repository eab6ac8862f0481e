import { digestAlgorithm, digestHex, type Digest } from './digest.js';

/** Tag under which clients keep the referrers of a digest where the registry does not (distribution-spec, "Referrers Tag Schema"). */
export function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest).slice(0, 64)}`;
}
