import {
  isNonDistributable,
  type Descriptor,
  type ImageDestination,
  type ImageSource,
  type RawManifest,
} from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import { walkManifests } from '../convert/index.js';
import type { BlobPlaces } from '../download/index.js';
import type { CopiedState } from './copy-blob.js';

const PARALLEL = 6;
/**
 * Up to WHOLE_BYTES, a blob is uploaded in one request, otherwise in pieces of CHUNK_BYTES (registry/v2/uploads.ts).
 * Bytes.
 */
const WHOLE_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024 * 1024;

/** The estimated effort of copying. */
export interface CopyEstimate {
  /** Each blob once, with its planned state at each destination. */
  readonly blobs: readonly { readonly blob: Descriptor; readonly states: readonly CopiedState[] }[];
  /** Bytes of blobs to upload. */
  readonly bytes: number;
  readonly requests: number;
}

/**
 * Estimates the copy of `top`, which the destinations lack. Queries the destinations without changing them. Adds
 * planned blobs to `known`, so that a later estimate with the same `known` does not count them again. Throws the errors
 * of source and destinations.
 */
export async function estimate(
  source: ImageSource,
  top: RawManifest,
  options: {
    readonly destinations: readonly ImageDestination[];
    readonly known: BlobPlaces;
    readonly signal: AbortSignal;
  },
): Promise<CopyEstimate> {
  const { destinations, known, signal } = options;
  const sum = { bytes: 0, requests: 0 };
  const isThere = async (manifest: Descriptor): Promise<boolean> => {
    const there = await Promise.all(destinations.map((destination) => destination.hasManifest(manifest, { signal })));
    sum.requests += destinations.length;
    return there.every(Boolean);
  };
  /** Undefined when another estimate has already counted the blob. */
  const stateAt = async (destination: ImageDestination, blob: Descriptor): Promise<CopiedState | undefined> => {
    const { repository } = destination;
    const isKnown = (): boolean => repository !== undefined && known.has(repository, blob);
    if (isKnown()) return undefined;
    sum.requests++;
    if (await destination.hasBlob(blob, { signal })) return 'present';
    if (isNonDistributable(blob) && destination.leavesForeign === true) return 'skipped';
    const isMounted = (await destination.canMountBlob?.(blob, source, { signal })) === true;
    // Another estimate may have counted the blob during the queries.
    if (isKnown()) return undefined;
    if (repository !== undefined) known.add(repository, blob);
    return isMounted ? 'mounted' : 'uploaded';
  };
  const nodes = await walkManifests(source, top, { isThere, signal });
  sum.requests += nodes.length * (1 + destinations.length);
  const blobs = new Map(nodes.flatMap((node) => node.blobs).map((blob) => [blob.digest, blob]));
  const states = await mapLimited([...blobs.values()], PARALLEL, async (blob) => {
    const found: CopiedState[] = [];
    // Sequential, because a repository can mount what another one of its host would receive.
    for (const destination of destinations) {
      const state = await stateAt(destination, blob);
      if (state === 'mounted') sum.requests++;
      if (state === 'uploaded') {
        sum.bytes += blob.size;
        sum.requests += 2 + (blob.size <= WHOLE_BYTES ? 0 : Math.ceil(blob.size / CHUNK_BYTES));
      }
      found.push(state ?? 'present');
    }
    if (found.includes('uploaded')) sum.requests++;
    return { blob, states: found };
  });
  return { blobs: states, ...sum };
}
