import { RegistryError } from '../../errors.js';
import { redactUrl, type HttpResponse } from '../../http/index.js';
import type { Place } from './manifests.js';
import { nextPage } from './next-page.js';
import { responseError, isForeign, notARegistryError, type Asked } from './responses.js';

/** Entries requested per page. */
const PAGE_SIZE = 1000;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
/** The most consecutive pages without a new name; registries that filter by permission send such pages. */
const MAX_IDLE_PAGES = 1000;
const MAX_NAMES = 2_000_000;

/** A paginated list of names (distribution-spec, "Listing Tags"). */
interface Listing {
  /** Path of the first page, without a query. */
  readonly path: string;
  /** The member of the document that contains the names. */
  readonly member: 'tags' | 'repositories';
  readonly isName: (name: string) => boolean;
  readonly asked: Asked;
}

/**
 * All names, page by page, without duplicates, up to a limit. Skips invalid names with a warning. Throws RegistryError
 * also when a list is not understood to its end, NotFoundError, AuthenticationError, TransportError, AbortError.
 */
export async function* listNames(
  { endpoint, scope }: Pick<Place, 'endpoint' | 'scope'>,
  listing: Listing,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { asked, member, isName } = listing;
  const what = member === 'tags' ? `the tag list of ${asked.subject}` : asked.subject;
  const seen = new Set<string>();
  const visited = new Set<string>();
  const skipped = new SkippedNames();
  const countedPath = `${listing.path}?n=${PAGE_SIZE}`;
  let path = endpoint.facts.refusesPageSize === true ? listing.path : countedPath;
  let idlePages = 0;
  for (;;) {
    visited.add(path);
    const withLogin = member === 'repositories';
    const response = await endpoint.request({ method: 'GET', path, scope, signal, withLogin }, MAX_PAGE_BYTES);
    if (response.status === 400 && path === countedPath) {
      endpoint.facts.refusesPageSize = true;
      path = listing.path;
      continue;
    }
    if (response.status !== 200) throw responseError(response, asked);
    const listError = (why: string): RegistryError => badListError(response, asked, what, why);
    if (response.truncated) throw listError(`a page is over ${MAX_PAGE_BYTES} bytes`);
    const before = seen.size;
    const names = parsePage(response.body, member);
    if (names === undefined) {
      if (isForeign(response)) throw notARegistryError(response, asked);
      throw listError(`it is not a list of ${member}`);
    }
    for (const name of names) {
      if (seen.has(name)) continue;
      if (!isName(name)) {
        skipped.add(name);
        continue;
      }
      seen.add(name);
      yield name;
    }
    const next = nextPage(response.headers.link, response.url);
    if (next === undefined) break;
    if (next === 'unclear') throw listError('its Link header for the next page is invalid');
    idlePages = seen.size === before ? idlePages + 1 : 0;
    ({ path } = next);
    if (visited.has(path)) throw listError('its pages form a loop');
    if (visited.size >= MAX_PAGES || seen.size > MAX_NAMES || idlePages > MAX_IDLE_PAGES)
      throw listError('it does not end');
  }
  if (skipped.count > 0) endpoint.warn(`${what} holds ${skipped.describe(member)}`);
}

/** The invalid names of a list; the message shows the first few and the number of the others. */
class SkippedNames {
  count = 0;
  readonly #first: string[] = [];

  add(name: string): void {
    this.count++;
    if (this.#first.length < 3) this.#first.push(JSON.stringify(name.slice(0, 140)));
  }

  describe(member: Listing['member']): string {
    const rest = this.count > this.#first.length ? ` and ${this.count - this.#first.length} more` : '';
    const kind = member === 'tags' ? 'tag' : 'repository name';
    return `${this.#first.join(', ')}${rest}, not a valid ${kind}: skipped`;
  }
}

/** The names of one page; undefined for a document of another shape. Some registries send null for an empty list. */
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

function badListError(response: HttpResponse, { method }: Asked, what: string, why: string): RegistryError {
  return new RegistryError(`${what} is not usable: ${why}`, {
    status: response.status,
    method,
    url: redactUrl(response.url),
  });
}
