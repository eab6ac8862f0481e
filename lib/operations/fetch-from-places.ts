import { NotFoundError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import type { Descriptor } from '../spec/index.js';
import { startArrivals } from './blob-arrivals.js';
import type { BlobPlaces } from './blob-places.js';
import type { OperationDeps } from './deps.js';

/** Takes a blob into the store from the first place that still has it; false when none has. Throws what the registry throws. */
export async function fetchFromPlaces(
  deps: Pick<OperationDeps, 'content' | 'progress'> & { readonly openRegistry: () => Promise<RegistryClient> },
  blob: Descriptor,
  { places, signal }: { readonly places: BlobPlaces; readonly signal: AbortSignal },
): Promise<boolean> {
  for (const place of places.of(blob)) {
    const registry = await deps.openRegistry();
    const repository = await registry.open(place, { signal });
    const arrivals = startArrivals(deps, repository, { blobs: [blob], signal });
    try {
      await arrivals.done(blob.digest);
      return true;
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    } finally {
      await arrivals.close();
    }
  }
  return false;
}
