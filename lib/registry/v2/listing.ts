import { RegistryError } from '../../errors.js';
import { redactUrl, resolveLocation, type HttpResponse } from '../../http/index.js';
import type { Place } from './manifests.js';
import { errorFrom, isPage, notARegistry, type Asked } from './responses.js';

/** Entries of a page asked for. */
export const PAGE_SIZE = 1000;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
const MAX_NAMES = 2_000_000;

/** A list of names that comes in pages (distribution-spec, "Listing Tags"). */
export interface Listing {
  /** Of the first page, query included. */
  readonly path: string;
  /** Member of the document that holds the names. */
  readonly member: 'tags' | 'repositories';
  readonly isName: (name: string) => boolean;
  readonly asked: Asked;
}

/** All names, page by page, each once; bounded. Throws RegistryError, NotFoundError, AuthenticationError, TransportError, AbortError. */
export async function* listNames(
  { endpoint, scope }: Pick<Place, 'endpoint' | 'scope'>,
  listing: Listing,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { asked, member, isName } = listing;
  const seen = new Set<string>();
  const visited = new Set<string>();
  let { path } = listing;
  for (;;) {
    visited.add(path);
    const withLogin = member === 'repositories';
    const response = await endpoint.request({ method: 'GET', path, scope, signal, withLogin }, MAX_PAGE_BYTES);
    if (response.status !== 200) throw errorFrom(response, asked);
    if (isPage(response)) throw notARegistry(response, asked);
    const fail = (why: string): never => {
      throw badList(response, asked, `${member === 'tags' ? 'tag list' : 'catalog'} of ${asked.subject}`, why);
    };
    if (response.truncated) fail(`a page is over ${MAX_PAGE_BYTES} bytes`);
    const before = seen.size;
    for (const name of parsePage(response.body, member) ?? fail(`it is not a list of ${member}`)) {
      if (!isName(name)) fail(`${JSON.stringify(name.slice(0, 140))} cannot be a name of ${member}`);
      if (seen.has(name)) continue;
      seen.add(name);
      yield name;
    }
    const next = nextPage(response.headers.link, response.url);
    if (next === undefined) return;
    if (next.origin !== endpoint.url('/').origin) fail('it goes on at another host');
    path = `${next.pathname}${next.search}`;
    if (visited.has(path) || seen.size === before) fail('its pages go round in circles');
    if (visited.size >= MAX_PAGES || seen.size > MAX_NAMES) fail('it does not end');
  }
}

/** Names of one page; undefined when it is not of the right shape. Some registries send null for none. */
function parsePage(body: Buffer, member: Listing['member']): string[] | undefined {
  let page: unknown;
  try {
    page = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof page !== 'object' || page === null) return undefined;
  const names = (page as Record<string, unknown>)[member] ?? [];
  return Array.isArray(names) && names.every((name) => typeof name === 'string') ? names : undefined;
}

/** Target of `rel="next"` in a `Link` header (RFC 8288). */
export function nextPage(link: string | string[] | undefined, base: string): URL | undefined {
  for (const header of [link ?? []].flat()) {
    for (const match of header.slice(0, 65536).matchAll(/<([^<>]*)>([^<]*)/g)) {
      if (/;\s*rel\s*=\s*"?next"?/i.test(match[2]!)) return resolveLocation(match[1]!, new URL(base));
    }
  }
  return undefined;
}

function badList(response: HttpResponse, { method }: Asked, what: string, why: string): RegistryError {
  return new RegistryError(`the ${what} makes no sense: ${why}`, {
    status: response.status,
    method,
    url: redactUrl(response.url),
  });
}
