import { ImgtoolError, NotFoundError, TransportError } from '../errors.js';
import { mayLeadTo, redactUrl, type HttpClient, type HttpHeaders } from '../http/index.js';
import type { Descriptor } from '../spec/index.js';
import { RangedGet } from './ranged-get.js';
import type { BlobSource } from './types.js';

/** Options of `foreignBlob`. */
interface ForeignBlobOptions {
  readonly http: HttpClient;
  /** Tried first: the registry may store the blob anyway. */
  readonly registry?: BlobSource | undefined;
  readonly priority?: number | undefined;
  /** The host of the registry that served the manifest; a public registry may only name public URLs. Undefined: no restriction. */
  readonly namedBy?: string | undefined;
  /** Throws UsageError when reading from a place is forbidden. */
  readonly check?: ((host: string, path: string) => void) | undefined;
}

/** At most this many URLs are tried; a manifest may list any number. */
const MAX_URLS = 10;
/** After this many broken connections, the next URL is tried. */
const MAX_BREAKS = 3;

/**
 * A non-distributable (foreign) layer (image-spec, "urls"), read from the registry or else from its URLs in order.
 * Requests to the URLs carry no credentials, cookies, client certificate or registry headers. A source is given up when
 * it fails, when its connections keep breaking, or when its bytes have to be read again. Opening throws the registry's
 * error, TransportError, or NotFoundError when no source has the blob.
 */
export function foreignBlob(descriptor: Descriptor, options: ForeignBlobOptions): BlobSource {
  const { registry } = options;
  const given = (descriptor.urls ?? []).slice(0, MAX_URLS);
  // Only the last URL gets the full number of connection retries.
  const urls = given.map((url, i) => placeAt(url, descriptor, { ...options, hurry: i < given.length - 1 }));
  const places = [...(registry === undefined ? [] : [registry]), ...urls];
  let at = 0;
  let breaks = 0;
  let served = false;
  const leave = (position: number): void => {
    if (at !== position) return;
    at = (at + 1) % places.length;
    breaks = 0;
    served = false;
  };
  return {
    descriptor,
    connections: registry?.connections ?? 'auto',
    places: places.length,
    open: async (request) => {
      if (served && (request.offset ?? 0) === 0) leave(at);
      const failures: Error[] = [];
      while (failures.length < places.length) {
        const position = at;
        try {
          const opened = await places[position]!.open(request);
          served = true;
          opened.body.once('error', (error) => {
            if (error instanceof TransportError && at === position && ++breaks >= MAX_BREAKS) leave(position);
          });
          return opened;
        } catch (error) {
          request.signal.throwIfAborted();
          if (!(error instanceof ImgtoolError)) throw error;
          failures.push(error);
          leave(position);
        }
      }
      throw foreignBlobError(descriptor, failures);
    },
  };
}

function foreignBlobError({ digest }: Descriptor, failures: readonly Error[]): ImgtoolError {
  const message = `layer ${digest} is non-distributable (foreign), and no place has it: ${failures.map((error) => error.message).join('; ')}`;
  const hint = 'its manifest lists these URLs; use a copy of the image that contains the layer itself';
  const broken = failures.find((error) => error instanceof TransportError);
  if (broken !== undefined) {
    return new TransportError(message, { host: broken.host, phase: broken.phase, hint, cause: broken });
  }
  return new NotFoundError(message, { kind: 'blob', subject: digest, hint, cause: failures.at(-1) });
}

function placeAt(
  text: string,
  { digest, size }: Descriptor,
  { http, priority = 0, namedBy, check, hurry }: ForeignBlobOptions & { readonly hurry: boolean },
): Pick<BlobSource, 'open'> {
  const url = httpUrl(text);
  const name = redactUrl(text);
  const urlError = (why: string): NotFoundError =>
    new NotFoundError(`${name.slice(0, 300)} ${why}`, { kind: 'blob', subject: digest });
  const facts = http.knownHosts.of(url?.host ?? '');
  const ranges = new RangedGet(size, facts, (headers, signal) =>
    http.stream({
      ...{ method: 'GET', url: url!.href, headers, anonymous: true, signal, priority },
      ...(hurry ? { connectRetries: 1 } : {}),
    }),
  );
  const open: BlobSource['open'] = async ({ signal, offset = 0, length }) => {
    if (url === undefined) throw urlError('is not an http or https URL');
    if (namedBy !== undefined && !(await mayLeadTo(new URL(`https://${namedBy}`), url)))
      throw urlError('is an address in a private network');
    check?.(url.host, url.pathname.slice(1));
    const { status, headers, body } = await ranges.get({ offset, length, signal });
    const why = unfit(status, headers, { size, offset });
    if (why === undefined) return { body, restarted: offset > 0 && status === 200, ranged: status === 206 };
    body.destroy();
    throw urlError(why);
  };
  return { open };
}

/** Why a response cannot be used, or undefined when it can. Bytes. */
function unfit(
  status: number,
  headers: HttpHeaders,
  wanted: { readonly size: number; readonly offset: number },
): string | undefined {
  if (status === 206) {
    const from = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
    return Number(from ?? NaN) === wanted.offset ? undefined : 'sent a different range than requested';
  }
  if (status !== 200) return `answered ${status}`;
  const length = headers['content-length'] ?? String(wanted.size);
  return Number(length) === wanted.size ? undefined : `has ${length} bytes, not ${wanted.size}`;
}

/** Removes user and password, which would otherwise be sent. Undefined for other URLs. */
function httpUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  [url.username, url.password, url.hash] = ['', '', ''];
  return url;
}
