import { AuthenticationError, RegistryError } from '../errors.js';
import { redactUrl, type HttpClient } from '../http/index.js';
import { parseChallenges, type Challenge } from './challenge.js';
import { checkTokenRealm } from './token-realm.js';
import type { Authorizer, AuthScope, Credentials, Refusal } from './types.js';

/** Options of `createAuthorizer`. */
export interface AuthorizerOptions {
  readonly http: HttpClient;
  /** Credentials for `host[:port]` as the user wrote it, or undefined for none. Default: none for any host. */
  readonly credentials?: (host: string) => Promise<Credentials | undefined>;
}

/** An authorizer that answers Basic and Bearer challenges; without credentials it fetches anonymous tokens. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  return new ChallengeAuthorizer(options);
}

const MAX_TOKEN_BYTES = 64 * 1024;
/** A token is dropped this long before it expires. Milliseconds. */
const EXPIRY_MARGIN_MS = 10_000;
/** What a token without `expires_in` is good for (distribution "token/jwt"). Seconds. */
const DEFAULT_LIFETIME_S = 60;

interface Held {
  readonly header: string;
  readonly expires: number;
}

class ChallengeAuthorizer implements Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #held = new Map<string, Held>();
  readonly #running = new Map<string, Promise<Held>>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  header(scope: AuthScope): string | undefined {
    const held = this.#held.get(scopeKey(scope));
    return held !== undefined && held.expires > Date.now() ? held.header : undefined;
  }

  async answer(scope: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<string> {
    const key = scopeKey(scope);
    const current = this.header(scope);
    // Many requests are refused at once when a token runs out: the first one's new token serves them all.
    if (current !== undefined && current !== refusal.refused) return current;
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#obtain(scope, refusal, signal).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    let held: Held;
    try {
      held = await running;
    } catch (error) {
      // The one who fetched for all was cancelled; this request was not.
      if ((error as Error).name === 'AbortError' && !signal.aborted) return this.answer(scope, refusal, signal);
      throw error;
    }
    if (held.header === refusal.refused) {
      const source = (await this.#credentials(scope.host))?.source;
      throw new AuthenticationError(
        `${scope.host} refused the credentials${source === undefined ? '' : ` of ${source}`}`,
        {
          host: scope.host,
          credentialSource: source,
          hint: loginHint(scope.host),
        },
      );
    }
    this.#held.set(key, held);
    return held.header;
  }

  async #obtain(scope: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<Held> {
    const challenges = parseChallenges(refusal.challenge);
    const credentials = await this.#credentials(scope.host);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) return this.#fetchToken(bearer, { scope, refusal, credentials, signal });
    const { host } = scope;
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      const asked = challenges.map(({ scheme }) => scheme).join(', ') || 'no scheme at all';
      throw new AuthenticationError(`${host} wants authentication by ${asked}, which imgtool does not know`, { host });
    }
    if (credentials === undefined) {
      throw new AuthenticationError(`${host} wants a user name and password`, {
        host,
        scheme: 'basic',
        hint: loginHint(host),
      });
    }
    return { header: basic(credentials), expires: Infinity };
  }

  async #fetchToken(
    { parameters }: Challenge,
    request: { scope: AuthScope; refusal: Refusal; credentials: Credentials | undefined; signal: AbortSignal },
  ): Promise<Held> {
    const { scope, refusal, credentials, signal } = request;
    const { host } = scope;
    const url = checkTokenRealm(parameters.realm, {
      registryUrl: refusal.url,
      host,
      withPassword: credentials !== undefined,
    });
    if (parameters.service !== undefined) url.searchParams.set('service', parameters.service);
    for (const wanted of tokenScopes(scope, parameters.scope)) url.searchParams.append('scope', wanted);
    if (credentials !== undefined) url.searchParams.set('account', credentials.username);
    const response = await this.#options.http.request(
      {
        method: 'GET',
        url: url.href,
        headers: credentials === undefined ? {} : { authorization: basic(credentials) },
        signal,
        priority: Number.MAX_SAFE_INTEGER,
      },
      { maxBytes: MAX_TOKEN_BYTES },
    );
    const shown = redactUrl(url);
    if (response.status === 401 || response.status === 403) {
      const whom =
        credentials === undefined ? 'gives no anonymous token' : `refused the credentials of ${credentials.source}`;
      throw new AuthenticationError(`the token service of ${host} ${whom} for ${scope.repository ?? 'this registry'}`, {
        host,
        scheme: 'bearer',
        credentialSource: credentials?.source,
        hint: loginHint(host),
      });
    }
    if (response.status !== 200) {
      throw new RegistryError(`the token service of ${host} answered ${response.status}`, {
        status: response.status,
        method: 'GET',
        url: shown,
      });
    }
    return parseToken(response.body, () => {
      throw new RegistryError(`the token service of ${host} sent no usable token`, {
        status: response.status,
        method: 'GET',
        url: shown,
      });
    });
  }

  #credentials(host: string): Promise<Credentials | undefined> {
    return this.#options.credentials?.(host) ?? Promise.resolve(undefined);
  }
}

function parseToken(body: Buffer, fail: () => never): Held {
  let answer: Record<string, unknown> | null;
  try {
    answer = JSON.parse(body.toString('utf8')) as Record<string, unknown> | null;
  } catch {
    return fail();
  }
  const token = answer?.token ?? answer?.access_token;
  // Anything else could break out of the header.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) return fail();
  const seconds = typeof answer?.expires_in === 'number' ? answer.expires_in : DEFAULT_LIFETIME_S;
  const lifetimeMs = Math.max(seconds, DEFAULT_LIFETIME_S) * 1000;
  return { header: `Bearer ${token}`, expires: Date.now() + lifetimeMs - EXPIRY_MARGIN_MS };
}

/** The scopes to ask for: our own; the registry's only where we have none. */
function tokenScopes(scope: AuthScope, named: string | undefined): string[] {
  if (scope.repository === undefined) return named === undefined ? [] : [named];
  const own = `repository:${scope.repository}:${scope.actions}`;
  return [own, ...(scope.mountFrom ?? []).map((from) => `repository:${from}:pull`)];
}

function scopeKey(scope: AuthScope): string {
  return [scope.host, scope.repository ?? '', scope.actions, ...(scope.mountFrom ?? [])].join(' ');
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function loginHint(host: string): string {
  return `log in with: imgtool login ${host}`;
}
