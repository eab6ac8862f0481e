import { UsageError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';

/** The most results to request: an index can have any number. */
const MAX_FOUND = 1000;

/**
 * Lists all repositories of a v1 registry by an empty search, because protocol v1 has no catalog. Throws UsageError
 * with `hint` when the registry has no search or too many repositories, and the errors of `search`.
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
