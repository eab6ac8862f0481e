import { UsageError } from '../../errors.js';
import type { RegistryClient, V1SearchResult as SearchResult } from '../../registry/index.js';
import { type Descriptor, formatReference, type Reference, tagOrDigest } from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { byProtocol } from './by-protocol.js';

/** More results than this are not requested: an index may hold any number. */
const MAX_FOUND = 1000;

/** Lists the tags of a repository in the registry's order. Throws the errors of the registry. */
export async function listTags(
  deps: Pick<OperationDeps, 'registry'>,
  repository: Pick<Reference, 'host' | 'repository' | 'registryVersion'>,
  options: { readonly signal: AbortSignal },
): Promise<string[]> {
  return byProtocol(deps.registry, repository, {
    ...options,
    v2: async () => {
      const reader = await deps.registry.open(repository, options);
      const tags: string[] = [];
      for await (const tag of reader.tags(options)) tags.push(tag);
      return tags;
    },
    v1: async (v1) => [...(await v1.tags(options)).keys()],
  });
}

/** Searches a registry's index (protocol v1) for repositories. Throws the errors of the registry. */
export async function searchRegistry(
  deps: Pick<OperationDeps, 'registry'>,
  query: { readonly host: string; readonly term: string; readonly limit: number },
  options: { readonly signal: AbortSignal },
): Promise<SearchResult[]> {
  const { host, term, limit } = query;
  return deps.registry.search(host, term, { limit, ...options });
}

/**
 * Lists all repositories of a v1 registry. The protocol has no catalog, but a search that may find everything. Throws UsageError
 * with `hint` where it does not, and what `search` throws.
 */
export async function searchRepositories(
  registry: RegistryClient,
  host: string,
  { hint, signal }: { readonly hint: string; readonly signal: AbortSignal },
): Promise<string[]> {
  const found = await registry.search(host, '', { limit: MAX_FOUND, signal });
  if (found.length > 0 && found.length < MAX_FOUND) return found.map(({ name }) => name);
  const why = found.length === 0 ? 'returns no results' : 'returns incomplete results';
  throw new UsageError(`the search of ${host} ${why}`, { hint });
}

/**
 * Resolves a reference without fetching the document. If the registry does not know the digest that it reports for a
 * tag, the digest of the fetched document counts. Throws NotFoundError.
 */
export async function resolveDigest(
  deps: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly signal: AbortSignal },
): Promise<Descriptor> {
  return byProtocol(deps.registry, reference, {
    ...options,
    v2: async () => {
      const reader = await deps.registry.open(reference, options);
      const found = await reader.resolve(tagOrDigest(reference), options);
      if (reference.digest !== undefined) return found;
      const known = await ifFound(reader.resolve({ digest: found.digest }, options));
      return known ?? (await reader.manifest(tagOrDigest(reference), options)).descriptor;
    },
    v1: () => Promise.reject(noDigestError(reference)),
  });
}

function noDigestError(reference: Reference): UsageError {
  return new UsageError(`${reference.host} is asked by registry protocol v1, which has no digests`, {
    hint: `the ID of its image is in: imgtool inspect docker-v1://${formatReference(reference)}`,
  });
}
