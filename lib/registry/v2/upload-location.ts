import { RegistryError } from '../../errors.js';
import { mayLeadTo, redactUrl, resolveLocation, type HttpResponse } from '../../http/index.js';
import type { Digest } from '../../spec/index.js';
import type { Asked } from './responses.js';

/**
 * The URL at which an upload continues: the `Location` of a response, relative or absolute, on the registry's host or
 * another one (which gets no credentials). Undefined when there is none. Throws RegistryError for a forbidden one:
 * plain HTTP after HTTPS, or a private address for a public registry.
 */
export async function uploadLocation(response: HttpResponse, asked: Asked): Promise<string | undefined> {
  const { location } = response.headers;
  if (location === undefined) return undefined;
  const from = new URL(response.url);
  const url = resolveLocation(location, from);
  const fail = (why: string): never => {
    throw new RegistryError(`${asked.host} sends the upload to a URL that ${why}`, {
      status: response.status,
      method: asked.method,
      url: redactUrl(response.url),
      hint: 'the registry or a proxy in front of it is misconfigured: its Location header must lead back to it',
    });
  };
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return fail('is neither http nor https');
  if (from.protocol === 'https:' && url.protocol === 'http:') return fail('uses plain HTTP');
  if (!(await mayLeadTo(from, url))) return fail(`is in a private network (${url.host})`);
  return url.href;
}

/** The URL that completes an upload. The registry's query is kept byte for byte, because it may be signed. */
export function closingLocation(location: string, digest: Digest): string {
  const separator = location.includes('?') ? (/[?&]$/.test(location) ? '' : '&') : '?';
  return `${location}${separator}digest=${encodeURIComponent(digest)}`;
}

/**
 * The number of bytes that a registry has received, from `Range: 0-<last>`. Undefined when it is not stated or
 * ambiguous (`0-0`: none or one).
 */
export function uploadedBytes(response: HttpResponse): number | undefined {
  // Some registries write it like a Content-Range.
  const last = /^(?:bytes[= ])?0-(\d{1,15})$/.exec(response.headers.range ?? '')?.[1];
  return last === undefined || last === '0' ? undefined : Number(last) + 1;
}
