import { RegistryError } from '../../errors.js';
import { mayLeadTo, redactUrl, resolveLocation, type HttpResponse } from '../../http/index.js';
import type { Digest } from '../../spec/index.js';
import type { Asked } from './responses.js';

/**
 * Where an upload goes on: the `Location` of a response, relative or absolute, on the registry's host or another one (which
 * gets no credentials). Undefined when there is none. Throws RegistryError for one that must not be followed: plain http
 * after https, or a private address for a public registry.
 */
export async function uploadLocation(response: HttpResponse, asked: Asked): Promise<string | undefined> {
  const { location } = response.headers;
  if (location === undefined) return undefined;
  const from = new URL(response.url);
  const url = resolveLocation(location, from);
  const fail = (why: string): never => {
    throw new RegistryError(`${asked.host} sends the upload to a place that ${why}`, {
      status: response.status,
      method: asked.method,
      url: redactUrl(response.url),
      hint: 'the registry, or a proxy before it, is set up wrong: its Location header must lead back to it',
    });
  };
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return fail('is not an http or https URL');
  if (from.protocol === 'https:' && url.protocol === 'http:') return fail('speaks plain http');
  if (!(await mayLeadTo(from, url))) return fail(`is an address of a private network (${url.host})`);
  return url.href;
}

/** The URL that ends an upload. What the registry put into the query stays as it is, to the byte: it may be signed. */
export function closingLocation(location: string, digest: Digest): string {
  const separator = location.includes('?') ? (/[?&]$/.test(location) ? '' : '&') : '?';
  return `${location}${separator}digest=${encodeURIComponent(digest)}`;
}

/** Bytes a registry says to have: of `Range: 0-<last>`. Undefined when it does not say, or says `0-0`: none, or one. */
export function uploadedBytes(response: HttpResponse): number | undefined {
  // Some registries write it like a Content-Range.
  const last = /^(?:bytes[= ])?0-(\d{1,15})$/.exec(response.headers.range ?? '')?.[1];
  return last === undefined || last === '0' ? undefined : Number(last) + 1;
}
