import type { Descriptor, RawManifest } from '../../spec/index.js';
import type { BlobSource, RepositoryReader, RepositoryWriter } from '../types.js';
import { blobSource, hasBlob, sizeOfBlob } from './blobs.js';
import type { Endpoint } from './endpoint.js';
import { deleteManifest, fetchManifest, hasManifest, putManifest, resolveManifest, type Place } from './manifests.js';
import { listReferrers } from './referrers.js';
import { listTags } from './tags.js';
import { cancelUpload, mountBlob, uploadBlob } from './uploads.js';

/** Opens a repository of a v2 registry (distribution-spec 1.1) for reading. Sends nothing. */
export function openReader(endpoint: Endpoint, repository: string): RepositoryReader {
  const place: Place = { endpoint, repository, scope: { host: endpoint.host, repository, actions: 'pull' } };
  return {
    host: endpoint.host,
    repository,
    resolve: (reference, { signal }): Promise<Descriptor> => resolveManifest(place, reference, signal),
    manifest: (reference, options): Promise<RawManifest> => fetchManifest(place, reference, options),
    blob: (descriptor, { priority = 0 } = {}): BlobSource => blobSource(place, descriptor, priority),
    blobSize: (digest, { signal }): Promise<number> => sizeOfBlob(place, digest, signal),
    tags: ({ signal }): AsyncIterable<string> => listTags(place, signal),
    referrers: (digest, { signal }) => listReferrers(place, digest, signal),
  };
}

/**
 * Opens a repository of a v2 registry for writing. Sends nothing. `retries`: interruptions without progress before an
 * upload fails.
 */
export function openWriter(
  endpoint: Endpoint,
  repository: string,
  options: { readonly mountFrom: readonly string[]; readonly retries: number | undefined },
): RepositoryWriter {
  const { mountFrom, retries } = options;
  const place: Place = {
    endpoint,
    repository,
    scope: { host: endpoint.host, repository, actions: 'pull,push', mountFrom },
  };
  return {
    host: endpoint.host,
    repository,
    hasBlob: (digest, { signal }) => hasBlob(place, digest, signal),
    hasManifest: (digest, { signal }) => hasManifest(place, digest, signal),
    mountBlob: (digest, from, { signal }) => mountBlob(place, { digest, from, signal }),
    uploadBlob: (source, upload) => uploadBlob(place, source, { ...upload, retries }),
    cancelUpload: (session, { signal }) => cancelUpload(place, session, signal),
    putManifest: (manifest, reference, { signal }) => putManifest(place, manifest, { reference, signal }),
    deleteManifest: (reference, { signal }) =>
      deleteManifest({ ...place, scope: { ...place.scope, actions: 'pull,push,delete' } }, reference, signal),
  };
}
