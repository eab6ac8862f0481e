import { MAX_MANIFEST_BYTES, MEDIA_TYPE, type Descriptor, type Digest } from '../spec/index.js';
import type { Exchange } from './exchange.js';
import { RequestError } from './request-error.js';

/** GET /v2/<name>/tags/list, paged by `n` and `last` (distribution-spec, "Listing Tags"). */
export async function listTags(exchange: Exchange, repository: string): Promise<void> {
  const all = await exchange.storage.tags(repository);
  if (all === undefined) throw new RequestError(404, 'NAME_UNKNOWN', 'repository name not known to registry');
  const { items, headers } = page(all, exchange.query, `/v2/${repository}/tags/list`);
  exchange.json({ name: repository, tags: items }, headers);
}

/** GET /v2/_catalog, paged alike (Docker Registry HTTP API V2, "Listing Repositories"). */
export async function listRepositories(exchange: Exchange): Promise<void> {
  const { items, headers } = page(await exchange.storage.repositories(), exchange.query, '/v2/_catalog');
  exchange.json({ repositories: items }, headers);
}

/** GET /v2/<name>/referrers/<digest>, filtered by `artifactType` (distribution-spec, "Listing Referrers"). */
export async function listReferrers(exchange: Exchange, repository: string, subject: Digest): Promise<void> {
  const { query, storage } = exchange;
  const artifactType = query.get('artifactType');
  const after = query.get('last');
  const all = (await storage.referrers(repository, subject)).filter(
    (entry) =>
      (artifactType === null || entry.artifactType === artifactType) && (after === null || entry.digest > after),
  );
  const manifests = fitting(all);
  const headers: Record<string, string> = { 'Content-Type': MEDIA_TYPE.ociIndex };
  if (artifactType !== null) headers['OCI-Filters-Applied'] = 'artifactType';
  if (manifests.length < all.length) {
    const next = new URLSearchParams({ ...(artifactType === null ? {} : { artifactType }) });
    next.set('last', manifests.at(-1)!.digest);
    headers.Link = `</v2/${repository}/referrers/${subject}?${next}>; rel="next"`;
  }
  exchange.json({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, headers);
}

/** As many as an index may hold bytes, at least one. */
function fitting(all: readonly Descriptor[]): readonly Descriptor[] {
  let bytes = 1024;
  let count = 0;
  for (const entry of all) {
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (bytes > MAX_MANIFEST_BYTES && count > 0) break;
    count++;
  }
  return all.slice(0, count);
}

function page(
  all: readonly string[],
  query: URLSearchParams,
  path: string,
): { readonly items: readonly string[]; readonly headers: Record<string, string> } {
  const last = query.get('last');
  const rest = last === null || last === '' ? all : all.slice(firstAfter(all, last));
  const limit = query.get('n');
  if (limit === null) return { items: rest, headers: {} };
  if (!/^\d{1,9}$/.test(limit)) {
    throw new RequestError(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number of entries');
  }
  const items = rest.slice(0, Number(limit));
  if (items.length === 0 || items.length === rest.length) return { items, headers: {} };
  const next = new URLSearchParams({ n: limit, last: items.at(-1)! });
  return { items, headers: { Link: `<${path}?${next}>; rel="next"` } };
}

function firstAfter(sorted: readonly string[], last: string): number {
  const index = sorted.findIndex((entry) => entry > last);
  return index < 0 ? sorted.length : index;
}
