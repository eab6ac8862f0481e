import { InvalidManifestError } from '../../errors.js';
import { parseJson } from '../../spec/index.js';
import type { V1Host } from './host.js';
import { v1Error } from './responses.js';
import { V1Session } from './session.js';
import type { V1SearchResult } from './types.js';

const PAGE_SIZE = 100;
const MAX_PAGES = 10;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/**
 * Searches an index, page by page, up to `limit` results. Throws NotFoundError when it has no search, RegistryError,
 * TransportError, AbortError.
 */
export async function searchIndex(
  host: V1Host,
  term: string,
  { limit, signal }: { readonly limit: number; readonly signal: AbortSignal },
): Promise<V1SearchResult[]> {
  const session = new V1Session(host);
  const found: V1SearchResult[] = [];
  const size = Math.min(limit, PAGE_SIZE);
  for (let page = 1; page <= MAX_PAGES && found.length < limit; page++) {
    const query = new URLSearchParams({ q: term, n: String(size), page: String(page) });
    const response = await session.index({ method: 'GET', path: `search?${query}`, signal }, MAX_PAGE_BYTES);
    const name = host.options.host;
    if (response.status !== 200)
      throw v1Error(response, { method: 'GET', host: name, kind: 'repository', subject: 'search' });
    const answer = parseJson(response.body, `the search results of ${name}`) as {
      results?: unknown;
      num_pages?: unknown;
    } | null;
    if (!Array.isArray(answer?.results)) {
      throw new InvalidManifestError(`the search results of ${name} contain no list`, { where: 'results' });
    }
    const results = (answer.results as unknown[]).flatMap((entry) => resultOf(entry) ?? []);
    const before = found.length;
    const known = new Set(found.map((result) => result.name));
    found.push(...results.filter((result) => !known.has(result.name)));
    const pages = typeof answer.num_pages === 'number' ? answer.num_pages : 1;
    if (page >= pages || found.length === before) break;
  }
  return found.slice(0, limit);
}

function resultOf(entry: unknown): V1SearchResult | undefined {
  const { name, description, star_count: stars, is_official: official } = (entry ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') return undefined;
  return {
    name,
    description: typeof description === 'string' ? description : '',
    stars: typeof stars === 'number' ? stars : undefined,
    official: official === true,
  };
}
