import type { Descriptor, Reference } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { tagOrDigest } from './inspect-image.js';

/** The tags of a repository, in the order of its registry. Throws what the registry throws. */
export async function listTags(
  deps: Pick<OperationDeps, 'registry'>,
  repository: Pick<Reference, 'host' | 'repository'>,
  options: { readonly signal: AbortSignal },
): Promise<string[]> {
  const reader = await deps.registry.open(repository, options);
  const tags: string[] = [];
  for await (const tag of reader.tags(options)) tags.push(tag);
  return tags;
}

/** What a reference leads to at its registry, in one request and without the document. Throws NotFoundError. */
export async function resolveDigest(
  deps: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly signal: AbortSignal },
): Promise<Descriptor> {
  const reader = await deps.registry.open(reference, options);
  return reader.resolve(tagOrDigest(reference), options);
}
