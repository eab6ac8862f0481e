import { isRepositoryName, isTag } from '../../spec/index.js';
import type { Endpoint } from './endpoint.js';
import { listNames } from './listing.js';
import type { Place } from './manifests.js';

/** All tags of a repository, page by page (distribution-spec, "Listing Tags"), up to a limit. Throws as RepositoryReader.tags. */
export function listTags(place: Place, signal: AbortSignal): AsyncGenerator<string> {
  const { endpoint, repository } = place;
  return listNames(
    place,
    {
      path: `/v2/${repository}/tags/list`,
      member: 'tags',
      isName: isTag,
      asked: {
        method: 'GET',
        host: endpoint.host,
        repository,
        kind: 'repository',
        subject: `${endpoint.host}/${repository}`,
      },
    },
    signal,
  );
}

/** All repositories of a registry (distribution's catalog API). Throws as RegistryClient.catalog. */
export function listRepositories(endpoint: Endpoint, signal: AbortSignal): AsyncGenerator<string> {
  const { host } = endpoint;
  return listNames(
    { endpoint, scope: { host, actions: 'pull' } },
    {
      path: '/v2/_catalog',
      member: 'repositories',
      isName: isRepositoryName,
      asked: { method: 'GET', host, repository: '_catalog', kind: 'catalog', subject: `the catalog of ${host}` },
    },
    signal,
  );
}
