import {
  AuthenticationError,
  DigestMismatchError,
  InvalidManifestError,
  NotFoundError,
  RegistryError,
  TransportError,
} from '../../errors.js';
import {
  mayLeadTo,
  resolveLocation,
  type BufferedResponse,
  type HttpHeaders,
  type HttpRequest,
  type StreamedResponse,
} from '../../http/index.js';
import { V1_USER_AGENT, type V1Credentials, type V1Host } from './host.js';

/** A request of this protocol; `path` is relative to `/v1/`. */
export type V1Request = Omit<HttpRequest, 'url'> & { readonly path: string };

const MAX_ENDPOINTS = 20;
const MAX_REDIRECTS = 3;
const PUT_REDIRECT: ReadonlySet<number> = new Set([301, 302, 303]);

/**
 * The state of one operation on a repository: the latest token and the endpoints named by the index. Requests to the
 * index carry user and password and ask for a token; requests to an endpoint carry the token. The password is sent only
 * to the index.
 */
export class V1Session {
  readonly host: V1Host;
  readonly #repository: string | undefined;
  #credentials: Promise<V1Credentials | undefined> | undefined;
  #token: string | undefined;
  #endpoints: readonly string[] | undefined;
  /** The index also stores images and requires the password for them, even though it issues tokens. */
  #wantsPassword = false;
  /** Position of the endpoint that worked last; the endpoints before it failed. */
  #preferred = 0;

  constructor(host: V1Host, repository?: string) {
    this.host = host;
    this.#repository = repository;
  }

  /** Origins that store the images, as named by the index; undefined when it named none. */
  get namedEndpoints(): readonly string[] | undefined {
    return this.#endpoints;
  }

  /** Sends a request to the index. Repeats a PUT that is redirected. Resolves for any status. Throws TransportError, AbortError. */
  async index(request: V1Request, maxBytes: number): Promise<BufferedResponse> {
    const base = await this.host.base(request.signal);
    const { path, ...rest } = request;
    const basic = await this.#basic(request.signal);
    let url = new URL(`${base}/v1/${path}`);
    for (let hops = 0; ; hops++) {
      // Another host must not receive the password.
      const own = url.origin === base && basic !== undefined ? { authorization: basic } : {};
      const headers = { 'x-docker-token': 'true', ...request.headers, ...own };
      const sent = this.#headers(url.href, headers);
      const response = await this.host.options.documents.request(
        { ...rest, url: url.href, headers: sent },
        { maxBytes },
      );
      // The response is the index's own, even after a redirect.
      await this.#learn(base, response, { isIndex: true });
      const location = PUT_REDIRECT.has(response.status) ? response.headers.location : undefined;
      const next = location === undefined ? undefined : resolveLocation(location, url);
      if (request.method !== 'PUT' || next === undefined || hops >= MAX_REDIRECTS) return response;
      if (url.protocol === 'https:' && next.protocol !== 'https:') return response;
      if (!(await mayLeadTo(url, next))) return response;
      url = next;
    }
  }

  /**
   * Sends a request to an endpoint and reads the body into memory. A body that is a function may be opened twice.
   * Throws as `index`.
   */
  async request(endpoint: string, request: V1Request, maxBytes: number): Promise<BufferedResponse> {
    return this.#authorized(endpoint, request, (sent) =>
      this.host.options.documents.request(sent, { maxBytes }).then((response) => ({ response })),
    );
  }

  /** Sends a request to an endpoint and returns the body as a stream. Throws as `index`. */
  async stream(endpoint: string, request: V1Request): Promise<StreamedResponse> {
    return this.#authorized(endpoint, request, (sent) =>
      this.host.options.transfers
        .stream(sent)
        .then((response) => ({ response, close: () => void response.body.destroy() })),
    );
  }

  /** Origins to read from: those named by the index, or the index itself. */
  async endpoints(signal: AbortSignal): Promise<readonly string[]> {
    return this.#endpoints ?? [await this.host.base(signal)];
  }

  /**
   * Runs `work` at one endpoint after another until one succeeds, and remembers that one. `last` is true for the last
   * endpoint. Throws the first NotFoundError, or else the error of the first endpoint.
   */
  async atAny<T>(signal: AbortSignal, work: (endpoint: string, last: boolean) => Promise<T>): Promise<T> {
    const all = await this.endpoints(signal);
    const failures: unknown[] = [];
    for (let at = this.#preferred; at < all.length; at++) {
      try {
        const result = await work(all[at]!, at === all.length - 1);
        this.#preferred = Math.max(this.#preferred, at);
        return result;
      } catch (error) {
        signal.throwIfAborted();
        if (!isEndpointFailure(error)) throw error;
        failures.push(error);
      }
    }
    throw (failures.find((error) => error instanceof NotFoundError) ?? failures[0]) as Error;
  }

  async #authorized<R extends { readonly status: number; readonly url: string; readonly headers: HttpHeaders }>(
    endpoint: string,
    { path, ...request }: V1Request,
    send: (request: HttpRequest) => Promise<{ readonly response: R; readonly close?: () => void }>,
  ): Promise<R> {
    const base = await this.host.base(request.signal);
    const url = `${endpoint}/v1/${path}`;
    const basic = endpoint === base ? await this.#basic(request.signal) : undefined;
    // A registry that is its own index gets the password with every request over HTTPS.
    const free = this.#token ?? (url.startsWith('https:') ? basic : undefined);
    const first = this.#wantsPassword ? (basic ?? free) : free;
    const attempt = async (authorization: string | undefined): Promise<{ response: R; close?: () => void }> => {
      const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
      const sent = await send({ ...request, url, headers: this.#headers(url, headers) });
      await this.#learn(base, sent.response, { isIndex: false });
      return sent;
    };
    const { response, close } = await attempt(first);
    const challenge = response.headers['www-authenticate'] ?? '';
    const refused = response.status === 401 && basic !== undefined && basic !== first && /^basic\b/i.test(challenge);
    if (!refused || new URL(response.url).origin !== endpoint) return response;
    close?.();
    this.#wantsPassword = true;
    return (await attempt(basic)).response;
  }

  #headers(url: string, headers: Readonly<Record<string, string>>): Record<string, string> {
    const cookie = this.host.cookies.header(url);
    return { 'user-agent': V1_USER_AGENT, ...headers, ...(cookie === undefined ? {} : { cookie }) };
  }

  async #learn(
    base: string,
    { url, headers }: { readonly url: string; readonly headers: HttpHeaders },
    { isIndex }: { readonly isIndex: boolean },
  ): Promise<void> {
    this.host.cookies.take(url, headers['set-cookie']);
    const { origin } = new URL(url);
    // A storage service behind a redirect cannot issue tokens or name endpoints.
    if (!isIndex && origin !== base && this.#endpoints?.includes(origin) !== true) return;
    const token = [headers['x-docker-token'] ?? []].flat().join(',').trim();
    // Other characters could break out of the header.
    if (token !== '' && /^[\x20-\x7e]+$/.test(token) && token.toLowerCase() !== 'true') {
      this.#token = `Token ${token.replace(/^token\s+/i, '')}`;
    }
    if (!isIndex && origin !== base) return;
    const named = [headers['x-docker-endpoints'] ?? []].flat().join(',');
    const endpoints: string[] = [];
    for (const entry of named.split(',')) {
      const endpoint = originOf(entry.trim(), base);
      if (endpoint !== undefined && (await mayLeadTo(new URL(base), new URL(endpoint)))) endpoints.push(endpoint);
    }
    if (endpoints.length === 0) return;
    this.#endpoints = [...new Set(endpoints)].slice(0, MAX_ENDPOINTS);
    this.#preferred = 0;
  }

  async #basic(signal: AbortSignal): Promise<string | undefined> {
    this.#credentials ??= this.host.options
      .credentials(this.#repository === undefined ? { signal } : { repository: this.#repository, signal })
      .catch((error: unknown) => {
        this.#credentials = undefined;
        throw error;
      });
    const credentials = await this.#credentials;
    if (credentials === undefined) return undefined;
    const { username, password } = credentials;
    return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
  }
}

const ENDPOINT_FAILURES = [
  TransportError,
  RegistryError,
  NotFoundError,
  AuthenticationError,
  InvalidManifestError,
  DigestMismatchError,
];

/** True when another endpoint may succeed. */
function isEndpointFailure(error: unknown): boolean {
  return ENDPOINT_FAILURES.some((kind) => error instanceof kind);
}

/** The origin of an entry `host[:port]` of `X-Docker-Endpoints`, with the scheme of the index. Undefined for an invalid host. */
function originOf(entry: string, base: string): string | undefined {
  if (!/^[A-Za-z0-9.:[\]-]+$/.test(entry)) return undefined;
  try {
    return new URL(`${new URL(base).protocol}//${entry}`).origin;
  } catch {
    return undefined;
  }
}
