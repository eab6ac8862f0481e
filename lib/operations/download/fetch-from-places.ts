import { AuthenticationError, NotFoundError, TransportError } from '../../errors.js';
import type { Descriptor, RepositoryName } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { openRegistrySource } from '../registry/index.js';
import { fetchBlobs } from './blob-downloads.js';
import type { BlobPlaces } from './blob-places.js';

/**
 * Calls `attempt` for one place after another and resolves with the first result; undefined if no place has it. Skips
 * places that are unreachable or refuse access, but throws the first such error if no other place has it.
 */
export async function fromFirstPlace<T>(
  places: Iterable<RepositoryName>,
  attempt: (place: RepositoryName) => Promise<T>,
): Promise<T | undefined> {
  let unreached: Error | undefined;
  for (const place of places) {
    try {
      return await attempt(place);
    } catch (error) {
      if (error instanceof TransportError || error instanceof AuthenticationError) unreached ??= error;
      else if (!(error instanceof NotFoundError)) throw error;
    }
  }
  if (unreached !== undefined) throw unreached;
  return undefined;
}

/**
 * Downloads a blob from any place that still has it. Resolves with false if there is none. Throws as `fromFirstPlace`.
 */
export async function fetchFromPlaces(
  deps: Pick<OperationDeps, 'content' | 'progress' | 'registry'>,
  blob: Descriptor,
  { places, signal }: { readonly places: BlobPlaces; readonly signal: AbortSignal },
): Promise<boolean> {
  const done = await fromFirstPlace(places.of(blob), async (place) => {
    await fetchBlobs(deps, await openRegistrySource(deps.registry, place, { signal }), { blobs: [blob], signal });
    return true;
  });
  return done !== undefined;
}
