import { NotFoundError, UsageError } from '../../errors.js';
import type { V1SearchResult as SearchResult } from '../../registry/index.js';
import { type Descriptor, formatReference, type Reference, tagOrDigest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** The tags of a repository, in the order of its registry. Throws what the registry throws. */
export async function listTags(
  deps: Pick<OperationDeps, 'registry'>,
  repository: Pick<Reference, 'host' | 'repository' | 'registryVersion'>,
  options: { readonly signal: AbortSignal },
): Promise<string[]> {
  let v1 = await deps.registry.openV1(repository, options);
  if (v1 === undefined) {
    const reader = await deps.registry.open(repository, options);
    const tags: string[] = [];
    try {
      for await (const tag of reader.tags(options)) tags.push(tag);
      return tags;
    } catch (error) {
      v1 = await deps.registry.openV1(repository, { ...options, after: error });
      if (v1 === undefined) throw error;
    }
  }
  return [...(await v1.tags(options)).keys()];
}

/** Searches a registry's index (protocol v1) for repositories. Throws what the registry throws. */
export async function searchRegistry(
  deps: Pick<OperationDeps, 'registry'>,
  query: { readonly host: string; readonly term: string; readonly limit: number },
  options: { readonly signal: AbortSignal },
): Promise<SearchResult[]> {
  const { host, term, limit } = query;
  return deps.registry.search(host, term, { limit, ...options });
}

/**
 * What a reference leads to at its registry, without the document; one that the registry tells for a tag and does not know itself
 * is not believed. Throws NotFoundError.
 */
export async function resolveDigest(
  deps: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly signal: AbortSignal },
): Promise<Descriptor> {
  const forced = await deps.registry.openV1(reference, options);
  if (forced !== undefined) throw noDigestError(reference);
  try {
    const reader = await deps.registry.open(reference, options);
    const found = await reader.resolve(tagOrDigest(reference), options);
    if (reference.digest !== undefined) return found;
    try {
      return await reader.resolve({ digest: found.digest }, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      return (await reader.manifest(tagOrDigest(reference), options)).descriptor;
    }
  } catch (error) {
    if ((await deps.registry.openV1(reference, { ...options, after: error })) === undefined) throw error;
    throw noDigestError(reference);
  }
}

function noDigestError(reference: Reference): UsageError {
  return new UsageError(`${reference.host} is asked by registry protocol v1, which has no digests`, {
    hint: `the ID of its image is in: imgtool inspect docker-v1://${formatReference(reference)}`,
  });
}
