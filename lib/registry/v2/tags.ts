import { RegistryError } from '../../errors.js';
import { redactUrl, resolveLocation, type HttpResponse } from '../../http/index.js';
import { isTag } from '../../spec/index.js';
import type { Place } from './manifests.js';
import { errorFrom, isForeign, notARegistry, type Asked } from './responses.js';

const PAGE_SIZE = 1000;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
const MAX_TAGS = 2_000_000;

/** All tags of a repository, page by page (distribution-spec, "Listing Tags"); bounded. Throws as RepositoryReader.tags. */
export async function* listTags(place: Place, signal: AbortSignal): AsyncGenerator<string> {
  const { endpoint, repository, scope } = place;
  const asked: Asked = {
    method: 'GET',
    host: endpoint.host,
    repository,
    kind: 'repository',
    subject: `${endpoint.host}/${repository}`,
  };
  const seen = new Set<string>();
  const visited = new Set<string>();
  let path = `/v2/${repository}/tags/list?n=${PAGE_SIZE}`;
  for (;;) {
    visited.add(path);
    const response = await endpoint.request({ method: 'GET', path, scope, signal }, MAX_PAGE_BYTES);
    if (response.status !== 200) throw errorFrom(response, asked);
    if (isForeign(response)) throw notARegistry(response, asked);
    const fail = (why: string): never => {
      throw badList(response, asked, why);
    };
    if (response.truncated) fail(`a page is over ${MAX_PAGE_BYTES} bytes`);
    const before = seen.size;
    for (const tag of parsePage(response.body) ?? fail('it is not a list of tags')) {
      if (!isTag(tag)) fail(`${JSON.stringify(tag.slice(0, 140))} cannot be a tag`);
      if (seen.has(tag)) continue;
      seen.add(tag);
      yield tag;
    }
    const next = nextPage(response.headers.link, response.url);
    if (next === undefined) return;
    if (next.origin !== endpoint.url('/').origin) fail('it goes on at another host');
    path = `${next.pathname}${next.search}`;
    if (visited.has(path) || seen.size === before) fail('its pages go round in circles');
    if (visited.size >= MAX_PAGES || seen.size > MAX_TAGS) fail('it does not end');
  }
}

/** Tags of one page; undefined when it is not of the right shape. Some registries send null for none. */
function parsePage(body: Buffer): string[] | undefined {
  let page: unknown;
  try {
    page = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof page !== 'object' || page === null) return undefined;
  const tags = (page as { tags?: unknown }).tags ?? [];
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : undefined;
}

/** Target of `rel="next"` in a `Link` header (RFC 8288). */
function nextPage(link: string | string[] | undefined, base: string): URL | undefined {
  for (const header of [link ?? []].flat()) {
    for (const match of header.slice(0, 65536).matchAll(/<([^<>]*)>([^<]*)/g)) {
      if (/;\s*rel\s*=\s*"?next"?/i.test(match[2]!)) return resolveLocation(match[1]!, new URL(base));
    }
  }
  return undefined;
}

function badList(response: HttpResponse, asked: Asked, why: string): RegistryError {
  return new RegistryError(`the tag list of ${asked.subject} makes no sense: ${why}`, {
    status: response.status,
    method: 'GET',
    url: redactUrl(response.url),
  });
}
