import { isKeptElsewhere, type Descriptor, type ImageSource, type RawManifest } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import { walkManifests } from '../convert/index.js';
import type { KnownBlobs, RegistryDestination } from '../copy/index.js';

const PARALLEL = 6;
/** How uploads go: whole up to the first, in pieces of the second (registry/v2/uploads.ts). Bytes. */
const WHOLE_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024 * 1024;

/** What copying would take. */
export interface CopyEstimate {
  bytes: number;
  requests: number;
}

/** Bytes and requests that copying `top` to `destinations` would take, asking but changing nothing. `known` learns what would be there. */
export async function estimateCopy(
  source: ImageSource,
  top: RawManifest,
  options: {
    readonly destinations: readonly RegistryDestination[];
    readonly known: KnownBlobs;
    readonly signal: AbortSignal;
  },
): Promise<CopyEstimate> {
  const { destinations, known, signal } = options;
  const estimate: CopyEstimate = { bytes: 0, requests: 0 };
  const isThere = async (manifest: Descriptor): Promise<boolean> => {
    const there = await Promise.all(destinations.map((destination) => destination.hasManifest(manifest, { signal })));
    estimate.requests += destinations.length;
    return there.every(Boolean);
  };
  const nodes = await walkManifests(source, top, { isThere, signal });
  estimate.requests += nodes.length * (1 + destinations.length);
  const blobs = new Map(nodes.flatMap((node) => node.blobs).map((blob) => [blob.digest, blob]));
  await mapLimited([...blobs.values()], PARALLEL, async (blob) => {
    let read = false;
    for (const destination of destinations) {
      const { host, repository } = destination.writer;
      if (known.has(host, repository, blob.digest)) continue;
      estimate.requests++;
      if ((await destination.hasBlob(blob, { signal })) || isKeptElsewhere(blob)) continue;
      // Another tag that shares the blob may have been counted while this one asked.
      if (known.has(host, repository, blob.digest)) continue;
      const neighbour = source.repository?.host === host;
      if (neighbour || known.others(host, repository, blob.digest, 1).length > 0) estimate.requests++;
      else {
        estimate.bytes += blob.size;
        estimate.requests += 2 + (blob.size <= WHOLE_BYTES ? 0 : Math.ceil(blob.size / CHUNK_BYTES));
        read = true;
      }
      known.add(host, repository, blob.digest);
    }
    if (read) estimate.requests++;
  });
  return estimate;
}
