import { MAX_MANIFEST_BYTES, MEDIA_TYPE, type Descriptor, type Digest } from '../spec/index.js';
import type { Exchange } from './exchange.js';
import { RequestError } from './request-error.js';

/** The most names in one response, whatever the client requests. */
const MAX_NAMES = 10_000;
/** Limits for the referrer descriptors read by one request: number and bytes. */
const MAX_SCAN_ENTRIES = 10_000;
const MAX_SCAN_BYTES = 2 * MAX_MANIFEST_BYTES;

/** GET /v2/<name>/tags/list, paginated by `n` and `last` (distribution-spec, "Listing Tags"). */
export async function listTags(exchange: Exchange, repository: string): Promise<void> {
  const all = await exchange.storage.tags(repository);
  if (all === undefined) throw new RequestError(404, 'NAME_UNKNOWN', 'repository name not known to registry');
  const { items, headers } = page(all, exchange.query, `/v2/${repository}/tags/list`);
  exchange.json({ name: repository, tags: items }, headers);
}

/** GET /v2/_catalog, paginated in the same way (Docker Registry HTTP API V2, "Listing Repositories"). */
export async function listRepositories(exchange: Exchange): Promise<void> {
  const { items, headers } = page(await exchange.storage.repositories(), exchange.query, '/v2/_catalog');
  exchange.json({ repositories: items }, headers);
}

/** GET /v2/<name>/referrers/<digest>, filtered by `artifactType` (distribution-spec, "Listing Referrers"). */
export async function listReferrers(exchange: Exchange, repository: string, subject: Digest): Promise<void> {
  const { query, storage } = exchange;
  const artifactType = query.get('artifactType');
  const found = storage.referrers(repository, subject, query.get('last') ?? '');
  const { manifests, last } = await onePage(
    found,
    (entry) => artifactType === null || entry.artifactType === artifactType,
  );
  const headers: Record<string, string> = { 'Content-Type': MEDIA_TYPE.ociIndex };
  if (artifactType !== null) headers['OCI-Filters-Applied'] = 'artifactType';
  if (last !== undefined) {
    const next = new URLSearchParams({ ...(artifactType === null ? {} : { artifactType }) });
    next.set('last', last);
    headers.Link = `</v2/${repository}/referrers/${subject}?${next}>; rel="next"`;
  }
  exchange.json({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, headers);
}

/**
 * Returns as many descriptors as fit into an index, at least one. `last`: the digest after which to continue, if there
 * may be more. Stops early when too many descriptors do not match, so a page may be short or empty.
 */
async function onePage(
  found: AsyncIterable<Descriptor>,
  matches: (entry: Descriptor) => boolean,
): Promise<{ readonly manifests: readonly Descriptor[]; readonly last: string | undefined }> {
  const manifests: Descriptor[] = [];
  let bytes = 1024;
  let bytesRead = 0;
  let entriesRead = 0;
  let last: string | undefined;
  for await (const entry of found) {
    const size = Buffer.byteLength(JSON.stringify(entry)) + 1;
    const isWanted = matches(entry);
    const isFull = isWanted && manifests.length > 0 && bytes + size > MAX_MANIFEST_BYTES;
    if (isFull || bytesRead > MAX_SCAN_BYTES || entriesRead === MAX_SCAN_ENTRIES) return { manifests, last };
    bytesRead += size;
    entriesRead += 1;
    last = entry.digest;
    if (!isWanted) continue;
    bytes += size;
    manifests.push(entry);
  }
  return { manifests, last: undefined };
}

function page(
  all: readonly string[],
  query: URLSearchParams,
  path: string,
): { readonly items: readonly string[]; readonly headers: Record<string, string> } {
  const last = query.get('last');
  const rest = last === null || last === '' ? all : all.slice(firstAfter(all, last));
  const asked = query.get('n') ?? String(MAX_NAMES);
  if (!/^\d{1,9}$/.test(asked)) {
    throw new RequestError(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number of entries');
  }
  const limit = Math.min(Number(asked), MAX_NAMES);
  const items = rest.slice(0, limit);
  if (items.length === 0 || items.length === rest.length) return { items, headers: {} };
  const next = new URLSearchParams({ n: String(limit), last: items.at(-1)! });
  return { items, headers: { Link: `<${path}?${next}>; rel="next"` } };
}

function firstAfter(sorted: readonly string[], last: string): number {
  const index = sorted.findIndex((entry) => entry > last);
  return index < 0 ? sorted.length : index;
}
