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

/** A request to one host: `path` begins with `/v2/`, or is an absolute URL that the host itself named. */
export interface EndpointRequest extends Omit<HttpRequest, 'url'> {
  readonly path: string;
  readonly scope: AuthScope;
  /** What is sent to those who have not logged in may be a part only: with a login it is used from the start. */
  readonly withLogin?: boolean;
  /** Cannot do without the rights for `mountFrom` of the scope. */
  readonly needsSources?: boolean;
}

/** Options of an endpoint. */
export interface EndpointOptions {
  readonly http: HttpClient;
  readonly authorizer: Authorizer;
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  /** How often a request whose body was cut is sent again at most. */
  readonly retries?: number | undefined;
  /** Parts of one blob to fetch at once. Default `auto`. */
  readonly connections?: number | 'auto' | undefined;
  /** False: any certificate, and plain http where https does not answer. */
  readonly tlsVerify: boolean;
  /** Takes a line for people about an oddity that is tolerated. */
  readonly warn?: ((line: string) => void) | undefined;
  /** Further headers for requests to the host itself; asked once. */
  readonly requestHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
}

/** An answer, and where the login that was sent comes from, when access was refused all the same. */
export type Answered<Response> = Response & { readonly refusedLogin?: string | undefined };

/** Answers that a registry may give to those who have not logged in, of what it shows to others. */
const MAY_BE_HIDDEN: ReadonlySet<number> = new Set([403, 404]);
const MAX_ERROR_BYTES = 64 * 1024;
const BODY_RETRIES = 3;
/** How often one request is given another token. */
const MAX_ANSWERS = 4;
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_API = 'registry-1.docker.io';

/**
 * One registry host: finds out whether it speaks https or plain http with the first real request (no ping), and answers
 * its 401s. Loopback hosts are tried by plain http first, as nearly all of them speak it; other hosts by plain http only
 * when `tlsVerify` is off, and then last.
 */
export class Endpoint {
  readonly host: string;
  /** What was learned about the host. */
  readonly facts: HostFacts;
  readonly #options: EndpointOptions;
  readonly #candidates: readonly string[];
  #base: string | undefined;
  #finding: Promise<unknown> | undefined;
  /** What the API's base asks those for who have not logged in. */
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

  /** Parts of one blob to fetch at once. */
  get connections(): number | 'auto' {
    return this.#options.connections ?? 'auto';
  }

  /** Tells people about an oddity that is tolerated. */
  warn(line: string): void {
    this.#options.warn?.(`warning: ${line}`);
  }

  /**
   * Sends; a 401 is answered once, and again where the token ran out while the request waited for its turn, or was for one
   * of several repositories only. What is refused or missing without a login is asked for with it, where there is one.
   * Any other status resolves. Throws AuthenticationError, TransportError, AbortError.
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
        // Read first: the request for the challenge may have to wait for its connection.
        const { body } = await readCapped(response.body, MAX_ERROR_BYTES);
        header = await this.#logIn(scope, signal);
        if (header === undefined) return { ...response, body: Readable.from([body]) };
        continue;
      }
      response.body.destroy();
      const challenge = response.headers['www-authenticate'];
      // The authorizer tells a password that was refused.
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
   * Sends and reads the body into memory, at most `maxBytes` of it (64 KiB when the status is an error); a cut body is
   * asked for again. Throws as `stream`.
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

  /** Absolute URL of `path` at this host; only after a first response. */
  url(path: string): URL {
    return new URL(path, this.#base ?? this.#candidates[0]);
  }

  /** Whether a token for the repository alone may do: some services put one of several scopes into a token. */
  #mayNarrow({ needsSources = false }: EndpointRequest, scope: AuthScope, header: string | undefined): boolean {
    return !needsSources && (scope.mountFrom?.length ?? 0) > 0 && header?.startsWith('Bearer ') === true;
  }

  /**
   * The header for what the API's base asks for, where the user has a login for the host: some registries hide from those
   * without one what others would ask a login for. Undefined where there is no login or none is asked for.
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
      { host: this.host, credentialSource: login, hint: refusalHint(this.host, login) },
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

  /** Sends the request by each scheme in turn until one of them is understood. */
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
        // Where nobody listens, the other scheme finds nobody either.
        if (error.phase === 'lookup') break;
      }
    }
    // Neither was understood: the fault may pass, so the first one gets its retries.
    if (first !== undefined && (first.phase === 'lookup' || first.phase === 'tls')) throw first;
    const response = await this.#sendTo(this.#candidates[0]!, request, authorization);
    this.#base = this.#candidates[0];
    return response;
  }

  /** Servers of https answer a plain http request with 400: then https must work. */
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
      // A certificate that cannot be trusted is https all the same, and the better message.
      if (error instanceof TransportError) return speaksTls(error);
      throw error;
    }
  }

  async #sendTo(base: string, request: EndpointRequest, authorization: string | undefined): Promise<StreamedResponse> {
    const { path, scope: _scope, withLogin: _login, needsSources: _sources, headers, ...rest } = request;
    const url = new URL(path, base);
    // Only the host itself gets them: an upload location elsewhere does not.
    const own = url.origin === base ? await (this.#headers ??= this.#options.requestHeaders?.()) : undefined;
    const secret = url.origin === base && authorization !== undefined ? { authorization } : {};
    return this.#options.http.stream({ ...rest, url: url.href, headers: { ...own, ...headers, ...secret } });
  }
}

/** Whether a failure shows that the other side speaks TLS, only not so that we can go on. */
function speaksTls(error: TransportError): boolean {
  return error.phase === 'tls' && !/plain HTTP/.test(error.message);
}

function describeScope({ repository, actions }: AuthScope): string {
  const verb = actions === 'pull' ? 'read' : actions === 'pull,push' ? 'write to' : 'delete from';
  return `${verb} ${repository ?? 'its catalog'}`;
}
