import { ImgtoolError, NotFoundError, TransportError } from '../errors.js';
import { mayLeadTo, redactUrl, type HttpClient, type HttpHeaders } from '../http/index.js';
import type { Descriptor } from '../spec/index.js';
import { RangedGet } from './ranged-get.js';
import type { BlobSource } from './types.js';

/** Options of `foreignBlob`. */
export interface ForeignBlobOptions {
  readonly http: HttpClient;
  /** The registry, which is asked first: it may have the blob all the same. */
  readonly registry?: BlobSource | undefined;
  readonly priority?: number | undefined;
  /** Host of the registry whose manifest names the URLs: a public one may name public ones only. Undefined: no registry does. */
  readonly namedBy?: string | undefined;
  /** Throws UsageError for what nothing may be read from. */
  readonly check?: ((host: string, path: string) => void) | undefined;
}

/** URLs that are tried; a manifest may name any number. */
const MAX_URLS = 10;
/** How often the connection to one place may break before the next one is asked. */
const MAX_BREAKS = 3;

/**
 * A non-distributable (foreign) layer (image-spec, "urls"): from the registry, else from its URLs in order. Hosts of URLs
 * are told nothing but what is wanted: no login, no cookie, no certificate, no header of the registry's. A place that fails,
 * whose connections break, or whose bytes had to be read once more, is left for the next. Opening throws what the registry
 * throws, TransportError, and NotFoundError when no place has it.
 */
export function foreignBlob(descriptor: Descriptor, options: ForeignBlobOptions): BlobSource {
  const { registry } = options;
  const given = (descriptor.urls ?? []).slice(0, MAX_URLS);
  // Only the last is worth waiting for where nobody answers.
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
  const hint = 'its manifest names the places; a copy of the image that has this layer itself would help';
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
      throw urlError('is an address of a private network');
    check?.(url.host, url.pathname.slice(1));
    const { status, headers, body } = await ranges.get({ offset, length, signal });
    const why = unfit(status, headers, { size, offset });
    if (why === undefined) return { body, restarted: offset > 0 && status === 200, ranged: status === 206 };
    body.destroy();
    throw urlError(why);
  };
  return { open };
}

/** Why an answer is not what was asked for. Bytes. */
function unfit(
  status: number,
  headers: HttpHeaders,
  wanted: { readonly size: number; readonly offset: number },
): string | undefined {
  if (status === 206) {
    const from = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
    return Number(from ?? NaN) === wanted.offset ? undefined : 'sent another range than the one asked for';
  }
  if (status !== 200) return `answered ${status}`;
  const length = headers['content-length'] ?? String(wanted.size);
  return Number(length) === wanted.size ? undefined : `has ${length} bytes, not ${wanted.size}`;
}

/** Without user and password: they would be sent. */
function httpUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  [url.username, url.password, url.hash] = ['', '', ''];
  return url;
}
