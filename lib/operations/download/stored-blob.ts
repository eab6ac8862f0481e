import { NotFoundError } from '../../errors.js';
import type { UploadSource } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { RegistrySource } from '../registry/index.js';
import { blobNotFoundError } from './blob-not-found-error.js';
import type { BlobPlaces } from './blob-places.js';

/** The blob in the store; one that is not there any more is streamed from where it is known to be. */
export async function storedBlob(
  deps: Pick<OperationDeps, 'content' | 'registry'>,
  blob: Descriptor,
  places: BlobPlaces,
): Promise<UploadSource> {
  if ((await deps.content.stat(blob.digest)) !== undefined) {
    return { descriptor: blob, open: (options) => deps.content.open(blob.digest, options) };
  }
  const known = places.of(blob);
  return {
    descriptor: blob,
    open: async ({ signal, offset }) => {
      for (const place of known) {
        const repository = new RegistrySource(await deps.registry.open(place, { signal }));
        try {
          return await repository.blob(blob).open({ signal, offset });
        } catch (error) {
          if (!(error instanceof NotFoundError)) throw error;
        }
      }
      throw blobNotFoundError(blob);
    },
  };
}
