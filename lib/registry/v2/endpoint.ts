import { Readable } from 'node:stream';
import { AuthenticationError, TransportError } from '../../errors.js';
import type { Authorizer, AuthScope, Refusal } from '../../auth/index.js';
import {
  readCapped,
  readDocument,
  type BufferedResponse,
  type HostFacts,
  type HttpClient,
  type HttpRequest,
  type StreamedResponse,
} from '../../http/index.js';
import { backoffMs, delay } from '../../util/index.js';
import { candidateOrigins } from '../candidate-origins.js';
import { refusalHint } from './responses.js';

/** A request to one host. `path` begins with `/v2/` or is an absolute URL given by the host. */
export interface EndpointRequest extends Omit<HttpRequest, 'url'> {
  readonly path: string;
  readonly scope: AuthScope;
  /** Log in for the first request already, because the response without a login may be incomplete. */
  readonly withLogin?: boolean;
  /** The request requires the rights for the scope's `mountFrom`. */
  readonly needsSources?: boolean;
}

/** Options of an endpoint. */
export interface EndpointOptions {
  readonly http: HttpClient;
  readonly authorizer: Authorizer;
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  /** How often a request is repeated when its response body was cut off. */
  readonly retries?: number | undefined;
  /** Parts of one blob to fetch concurrently. Default `auto`. */
  readonly connections?: number | 'auto' | undefined;
  /** False accepts any certificate, and plain HTTP when HTTPS does not answer. */
  readonly tlsVerify: boolean;
  /** Called with a warning for users about a tolerated defect. */
  readonly warn?: ((line: string) => void) | undefined;
  /** Additional headers for requests to the host itself. Called once. */
  readonly requestHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
}

/** A response, with the source of the credentials if access was refused despite them. */
type Answered<Response> = Response & { readonly refusedLogin?: string | undefined };

/** Statuses by which a registry may hide content from clients without a login. */
const MAY_BE_HIDDEN: ReadonlySet<number> = new Set([403, 404]);
const MAX_ERROR_BYTES = 64 * 1024;
const BODY_RETRIES = 3;
/** The most tokens that one request may use. */
const MAX_ANSWERS = 4;
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_API = 'registry-1.docker.io';

/**
 * One registry host. Detects HTTPS or plain HTTP with the first real request (there is no ping) and answers its 401
 * challenges. Loopback hosts are tried over plain HTTP first, as nearly all of them use it; other hosts over plain HTTP
 * only when `tlsVerify` is false, and then last.
 */
export class Endpoint {
  readonly host: string;
  readonly facts: HostFacts;
  readonly #options: EndpointOptions;
  readonly #candidates: readonly string[];
  #base: string | undefined;
  #finding: Promise<unknown> | undefined;
  /** The challenge of the API's base for clients without a login. */
  #challenge: Refusal | 'none' | undefined;
  #headers: Promise<Readonly<Record<string, string>>> | undefined;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.host = options.host;
    this.facts = options.http.knownHosts.of(options.host);
    const api = options.host === DOCKER_HUB || options.host === `index.${DOCKER_HUB}` ? DOCKER_HUB_API : options.host;
    this.#candidates = candidateOrigins(api, options.tlsVerify);
    if (this.#candidates.length === 1) this.#base = this.#candidates[0];
  }

  /** Parts of one blob to fetch concurrently. */
  get connections(): number | 'auto' {
    return this.#options.connections ?? 'auto';
  }

  /** Warns users about a tolerated defect. */
  warn(line: string): void {
    this.#options.warn?.(`warning: ${line}`);
  }

  /**
   * Sends a request and answers a 401 once. Answers it again when the token expired while the request was queued, or
   * covered only one of several repositories. When access is refused or the resource is missing without a login,
   * repeats the request with one if available. Resolves for any other status. Throws AuthenticationError,
   * TransportError, AbortError.
   */
  async stream(request: EndpointRequest): Promise<Answered<StreamedResponse>> {
    const { authorizer } = this.#options;
    const { signal } = request;
    let { scope } = request;
    let header = await authorizer.header(scope, signal);
    if (header === undefined && request.withLogin === true) header = await this.#logIn(scope, signal);
    for (let answers = 0; ; answers++) {
      const response = await this.#send(request, header);
      // A 401 from another host (a storage service behind a redirect) is not the registry's challenge.
      if (response.status !== 401 || new URL(response.url).origin !== this.#base) {
        if (scope !== request.scope) this.facts.oneScopeTokens = true;
        if (header !== undefined && response.status === 403)
          return { ...response, refusedLogin: await authorizer.credentialSource(scope, signal) };
        if (header !== undefined || !MAY_BE_HIDDEN.has(response.status) || typeof request.body === 'function')
          return response;
        if ((await authorizer.credentialSource(scope, signal)) === undefined) return response;
        // Must be read first: the request for the challenge may have to wait for this connection.
        const { body } = await readCapped(response.body, MAX_ERROR_BYTES);
        header = await this.#logIn(scope, signal);
        if (header === undefined) return { ...response, body: Readable.from([body]) };
        continue;
      }
      response.body.destroy();
      const challenge = response.headers['www-authenticate'];
      // The authorizer reports a refused password itself.
      const isWorthAnother = header?.startsWith('Basic ') === true || authorizer.hasExpired(header ?? '');
      const mayHelp = answers === 0 || (answers < MAX_ANSWERS && isWorthAnother);
      if (!mayHelp) {
        if (!this.#mayNarrow(request, scope, header)) throw await this.#refused(scope, signal);
        scope = { ...scope, mountFrom: [] };
      }
      header = await authorizer.answer(
        scope,
        { url: response.url, challenge, refused: mayHelp ? header : undefined },
        signal,
      );
    }
  }

  /**
   * Sends a request and reads the response body into memory, at most `maxBytes` of it (64 KiB for an error status).
   * Repeats it when the body was cut off. Throws as `stream`.
   */
  async request(request: EndpointRequest, maxBytes: number): Promise<Answered<BufferedResponse>> {
    const retries = request.retries ?? Math.min(BODY_RETRIES, this.#options.retries ?? BODY_RETRIES);
    for (let attempt = 1; ; attempt++) {
      const response = await this.stream(request);
      const cap = response.status >= 400 ? MAX_ERROR_BYTES : maxBytes;
      try {
        return { ...response, ...(await readDocument(response, cap)) };
      } catch (error) {
        if (!(error instanceof TransportError) || attempt > retries) throw error;
        await delay(backoffMs(attempt), request.signal);
      }
    }
  }

  /** The absolute URL of `path` at this host. Requires a previous response. */
  url(path: string): URL {
    return new URL(path, this.#base ?? this.#candidates[0]);
  }

  /** True when a token for the repository alone may suffice: some services grant only one of several scopes per token. */
  #mayNarrow({ needsSources = false }: EndpointRequest, scope: AuthScope, header: string | undefined): boolean {
    return !needsSources && (scope.mountFrom?.length ?? 0) > 0 && header?.startsWith('Bearer ') === true;
  }

  /**
   * The authorization header for the challenge of the API's base, when the user has a login for the host. Some
   * registries hide repositories from clients without a login instead of asking for one. Undefined without a login or a
   * challenge.
   */
  async #logIn(scope: AuthScope, signal: AbortSignal): Promise<string | undefined> {
    const { authorizer } = this.#options;
    if ((await authorizer.credentialSource(scope, signal)) === undefined) return undefined;
    this.#challenge ??= await this.#askForChallenge(signal);
    return this.#challenge === 'none' ? undefined : authorizer.answer(scope, this.#challenge, signal);
  }

  async #askForChallenge(signal: AbortSignal): Promise<Refusal | 'none'> {
    const scope: AuthScope = { host: this.host, actions: 'pull' };
    const { status, headers, url, body } = await this.#send({ method: 'GET', path: '/v2/', scope, signal }, undefined);
    body.destroy();
    if (status !== 401 || new URL(url).origin !== this.#base) return 'none';
    return { url, challenge: headers['www-authenticate'], refused: undefined };
  }

  async #refused(scope: AuthScope, signal: AbortSignal): Promise<AuthenticationError> {
    const login = await this.#options.authorizer.credentialSource(scope, signal);
    const sent = login === undefined ? '' : ` with the credentials of ${login}`;
    return new AuthenticationError(
      `${this.host} does not allow us to ${describeScope(scope)}${sent}, or there is no such repository`,
      { host: this.host, credentialSource: login, isLoginRefused: true, hint: refusalHint(this.host, login) },
    );
  }

  async #send(request: EndpointRequest, authorization: string | undefined): Promise<StreamedResponse> {
    while (this.#base === undefined) {
      if (this.#finding === undefined) {
        const finding = this.#findScheme(request, authorization);
        this.#finding = finding.catch(() => undefined).finally(() => (this.#finding = undefined));
        return finding;
      }
      await this.#finding;
      request.signal.throwIfAborted();
    }
    return this.#sendTo(this.#base, request, authorization);
  }

  /** Tries the request with each scheme until one works. */
  async #findScheme(request: EndpointRequest, authorization: string | undefined): Promise<StreamedResponse> {
    let first: TransportError | undefined;
    for (const [index, base] of this.#candidates.entries()) {
      const last = index === this.#candidates.length - 1;
      try {
        const response = await this.#sendTo(base, { ...request, connectRetries: 0 }, authorization);
        if (!last && (await this.#wantsOther(base, response, request, authorization))) {
          response.body.destroy();
          continue;
        }
        this.#base = base;
        return response;
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        first ??= error;
        if (speaksTls(error)) throw error;
        // If the host cannot be resolved, the other scheme fails too.
        if (error.phase === 'lookup') break;
      }
    }
    // Both schemes failed; the fault may be temporary, so the first scheme gets its retries.
    if (first !== undefined && (first.phase === 'lookup' || first.phase === 'tls')) throw first;
    const response = await this.#sendTo(this.#candidates[0]!, request, authorization);
    this.#base = this.#candidates[0];
    return response;
  }

  /** HTTPS servers answer plain HTTP requests with 400. True when the same request works over HTTPS. */
  async #wantsOther(
    base: string,
    response: StreamedResponse,
    request: EndpointRequest,
    authorization: string | undefined,
  ): Promise<boolean> {
    if (response.status !== 400 || !base.startsWith('http:') || 'docker-distribution-api-version' in response.headers)
      return false;
    try {
      const probe = await this.#sendTo(this.#candidates.at(-1)!, { ...request, retries: 0 }, authorization);
      probe.body.destroy();
      return true;
    } catch (error) {
      // An untrusted certificate shows that the host speaks HTTPS, and its error message is better.
      if (error instanceof TransportError) return speaksTls(error);
      throw error;
    }
  }

  async #sendTo(base: string, request: EndpointRequest, authorization: string | undefined): Promise<StreamedResponse> {
    const { path, scope: _scope, withLogin: _login, needsSources: _sources, headers, ...rest } = request;
    const url = new URL(path, base);
    // Only the host itself receives these headers, not an upload location elsewhere.
    const own = url.origin === base ? await (this.#headers ??= this.#options.requestHeaders?.()) : undefined;
    const secret = url.origin === base && authorization !== undefined ? { authorization } : {};
    return this.#options.http.stream({ ...rest, url: url.href, headers: { ...own, ...headers, ...secret } });
  }
}

/** True when a failure shows that the host speaks TLS. */
function speaksTls(error: TransportError): boolean {
  return error.phase === 'tls' && !error.isPlainHttp;
}

function describeScope({ repository, actions }: AuthScope): string {
  const verb = actions === 'pull' ? 'read' : actions === 'pull,push' ? 'write to' : 'delete from';
  return `${verb} ${repository ?? 'its catalog'}`;
}
