import type { StepRecord } from '../../metadata/index.js';
import { parseDigest, type ChainId } from '../../spec/index.js';

/** Name of the subvolume with the files of a build step, as the snapshotter takes it. */
export function stepSubvolume({ id }: Pick<StepRecord, 'id'>): ChainId {
  return parseDigest(`sha256:${id}`) as ChainId;
}
