import { UsageError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';

/** More results than this are not asked for: an index may hold any number. */
const MAX_FOUND = 1000;

/**
 * All repositories of a v1 registry. The protocol has no catalog, but a search that finds everything where it is switched on.
 * Throws UsageError with `hint` where it does not, and what `search` throws.
 */
export async function searchRepositories(
  registry: RegistryClient,
  host: string,
  { hint, signal }: { readonly hint: string; readonly signal: AbortSignal },
): Promise<string[]> {
  const found = await registry.search(host, '', { limit: MAX_FOUND, signal });
  if (found.length > 0 && found.length < MAX_FOUND) return found.map(({ name }) => name);
  const why = found.length === 0 ? 'finds nothing' : 'ends before everything is told';
  throw new UsageError(`the search of ${host} ${why}`, { hint });
}
