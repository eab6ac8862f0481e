import { TransportError } from '../errors.js';
import { mayLeadTo } from './host-reach.js';
import { redactUrl } from './redact.js';
import type { HttpRequest, RequestBody } from './types.js';

/** The most redirects that one request may follow. */
export const MAX_REDIRECTS = 10;

const REDIRECT_STATUS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Headers that are never sent to another origin (CVE-2020-15157). */
const SECRET_HEADERS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization']);

/** The state of a request between redirects. */
export interface Hop {
  readonly method: HttpRequest['method'];
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody | undefined;
  readonly secretBody: boolean;
}

/**
 * The next hop after a response, or undefined when it is not a redirect to follow. Credentials are dropped when the
 * origin changes. Throws TransportError for a forbidden redirect: from https to http, from a public host to a private
 * address, in a loop, or too many.
 */
export async function nextHop(
  hop: Hop,
  status: number,
  location: string | undefined,
  visited: Set<string>,
): Promise<Hop | undefined> {
  if (!REDIRECT_STATUS.has(status) || location === undefined) return undefined;
  const reads = hop.method === 'GET' || hop.method === 'HEAD';
  // A 301 or 302 response to a write is final: following it as browsers do would turn it into a GET and lose the body.
  if (!reads && status !== 303 && status !== 307 && status !== 308) return undefined;
  const fail = (why: string): never => {
    throw new TransportError(`${redactUrl(hop.url)} ${why}`, { host: hop.url.host, phase: 'response' });
  };
  const url = resolveLocation(location, hop.url) ?? fail('redirects to an invalid URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') fail(`redirects to ${url.protocol}, which is not http`);
  if (hop.url.protocol === 'https:' && url.protocol === 'http:') {
    fail(`redirects from https to plain http (${url.host}): refused`);
  }
  if (!(await mayLeadTo(hop.url, url))) fail(`redirects to an address of a private network (${url.host}): refused`);
  const method = status === 303 && !reads ? 'GET' : hop.method;
  const body = method === hop.method ? hop.body : undefined;
  if (hop.secretBody && body !== undefined && url.origin !== hop.url.origin) {
    fail(`redirects a request with a secret to another host (${url.host}): refused`);
  }
  const key = `${method} ${url.href}`;
  if (visited.has(key)) fail('redirects in a loop');
  visited.add(key);
  if (visited.size > MAX_REDIRECTS) fail(`redirects more than ${MAX_REDIRECTS} times`);
  return {
    method,
    url,
    headers: url.origin === hop.url.origin ? hop.headers : withoutSecrets(hop.headers),
    body,
    secretBody: hop.secretBody,
  };
}

/** Resolves a `Location` header against the URL of its request and removes user and password. Undefined when invalid. */
export function resolveLocation(location: string, base: URL): URL | undefined {
  try {
    // Node decodes headers as latin1; in practice a non-ASCII location is UTF-8.
    const url = new URL(Buffer.from(location, 'latin1').toString('utf8'), base);
    url.username = '';
    url.password = '';
    return url;
  } catch {
    return undefined;
  }
}

function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isSecret(name.toLowerCase())));
}

/** `X-Meta-…` are headers that the user has set for registries (Docker's `HttpHeaders`). */
function isSecret(name: string): boolean {
  return SECRET_HEADERS.has(name) || name.startsWith('x-meta-');
}
