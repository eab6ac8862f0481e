import type { Descriptor, RawManifest } from '../../spec/index.js';
import type { BlobSource, RepositoryReader, TagOrDigest } from '../types.js';
import { blobSource } from './blobs.js';
import type { Endpoint } from './endpoint.js';
import { fetchManifest, resolveManifest, type Place } from './manifests.js';
import { listTags } from './tags.js';

/** The read side of a repository at a v2 registry (distribution-spec 1.1). Opening sends nothing. */
export function openReader(endpoint: Endpoint, repository: string): RepositoryReader {
  const place: Place = { endpoint, repository, scope: { host: endpoint.host, repository, actions: 'pull' } };
  return {
    host: endpoint.host,
    repository,
    resolve: (reference: TagOrDigest, { signal }): Promise<Descriptor> => resolveManifest(place, reference, signal),
    manifest: (reference: TagOrDigest, { signal }): Promise<RawManifest> => fetchManifest(place, reference, signal),
    blob: (descriptor: Descriptor, { priority = 0 } = {}): BlobSource => blobSource(place, descriptor, priority),
    tags: ({ signal }): AsyncIterable<string> => listTags(place, signal),
  };
}
