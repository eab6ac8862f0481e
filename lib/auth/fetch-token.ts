import { AuthenticationError, RegistryError } from '../errors.js';
import { redactUrl, type BufferedResponse, type HttpClient } from '../http/index.js';
import { encodeLogin } from './auth-entry.js';
import type { FetchedToken } from './bearer-token.js';
import { deniesPush, tokenClaims } from './json-web-token.js';
import type { AuthScope, Credentials } from './types.js';

/** A token request and its token service. */
export interface TokenRequest {
  /** The token service's URL, already verified: it may receive the credentials. */
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: AuthScope;
  /** The scope to request when `scope` names no repository. */
  readonly challengeScope: string | undefined;
  readonly credentials: Credentials | undefined;
}

const MAX_TOKEN_BYTES = 64 * 1024;
/** A token is renewed this many ms before it expires, or after three quarters of a shorter lifetime. */
const RENEW_BEFORE_MS = 10_000;
/** Lifetime in seconds of a token without `expires_in` (distribution "token/jwt"). */
const DEFAULT_LIFETIME_S = 60;
const CLIENT_ID = 'imgtool';

/** The scopes to request: our own, or the registry's when we have none. Sorted, without duplicates. */
export function tokenScopes({ scope, challengeScope }: TokenRequest): readonly string[] {
  if (scope.repository === undefined) return challengeScope === undefined ? [] : [challengeScope];
  const sources = [...new Set(scope.mountFrom)].filter((from) => from !== scope.repository).sort();
  return [`repository:${scope.repository}:${scope.actions}`, ...sources.map((from) => `repository:${from}:pull`)];
}

/**
 * Fetches a bearer token: by POST with a refresh token (distribution "token/oauth"), else by GET (distribution
 * "token/jwt"). Throws AuthenticationError when it is refused or lacks a required right to push, RegistryError,
 * TransportError, AbortError.
 */
export async function fetchToken(http: HttpClient, request: TokenRequest, signal: AbortSignal): Promise<FetchedToken> {
  const asked = performance.now();
  const { scope, credentials } = request;
  const { host } = scope;
  const facts = http.knownHosts.of(host);
  if (facts.oneScopeTokens === true && tokenScopes(request).length > 1)
    return fetchToken(http, withoutSources(request), signal);
  const response = await ask(http, request, signal);
  const hasSources = tokenScopes(request).length > 1;
  // Some services refuse everything when one mount source is not readable, others refuse several scopes. The push works
  // without sources.
  if ((isRefusal(response) || response.status === 400) && hasSources) {
    const token = await fetchToken(http, withoutSources(request), signal);
    if (!isRefusal(response)) facts.oneScopeTokens = true;
    return token;
  }
  const place = {
    status: response.status,
    method: credentials?.identityToken === undefined ? 'GET' : 'POST',
    url: redactUrl(request.realm),
  };
  if (isRefusal(response)) throw tokenRefusedError(request);
  if (response.status !== 200) {
    throw new RegistryError(`the token service of ${host} answered ${response.status}`, place);
  }
  const { token, refreshToken, seconds } = parseAnswer(response.body);
  if (token === undefined) throw new RegistryError(`the token service of ${host} sent no usable token`, place);
  const claims = tokenClaims(token);
  const { repository, actions, mountFrom = [] } = scope;
  if (repository !== undefined && actions !== 'pull' && deniesPush(claims, repository, mountFrom)) {
    if (!hasSources || !claims.access!.some(({ name }) => mountFrom.includes(name)))
      throw pushDeniedError(request, repository);
    // The service may grant only the last of several scopes.
    const token = await fetchToken(http, withoutSources(request), signal);
    facts.oneScopeTokens = true;
    return token;
  }
  if (refreshToken !== undefined) credentials?.onRefreshToken?.(refreshToken);
  const lifetimeMs = (seconds ?? claims.lifetime ?? DEFAULT_LIFETIME_S) * 1000;
  return {
    header: `Bearer ${token}`,
    renewAt: asked + lifetimeMs - Math.min(RENEW_BEFORE_MS, lifetimeMs / 4),
  };
}

function withoutSources(request: TokenRequest): TokenRequest {
  return { ...request, scope: { ...request.scope, mountFrom: [] } };
}

function ask(http: HttpClient, request: TokenRequest, signal: AbortSignal): Promise<BufferedResponse> {
  const { realm, service, credentials } = request;
  const url = new URL(realm);
  const common = { signal, priority: Number.MAX_SAFE_INTEGER };
  const limit = { maxBytes: MAX_TOKEN_BYTES };
  if (credentials?.identityToken !== undefined) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID });
    if (service !== undefined) form.set('service', service);
    form.set('scope', tokenScopes(request).join(' '));
    form.set('refresh_token', credentials.identityToken);
    return http.request(
      {
        ...common,
        method: 'POST',
        url: url.href,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: Buffer.from(form.toString()),
        secretBody: true,
      },
      limit,
    );
  }
  if (service !== undefined) url.searchParams.set('service', service);
  for (const wanted of tokenScopes(request)) url.searchParams.append('scope', wanted);
  if (credentials !== undefined) url.searchParams.set('account', credentials.username);
  if (credentials?.onRefreshToken !== undefined) {
    url.searchParams.set('offline_token', 'true');
    url.searchParams.set('client_id', CLIENT_ID);
  }
  const headers = credentials === undefined ? {} : { authorization: basicHeader(credentials) };
  return http.request({ ...common, method: 'GET', url: url.href, headers }, limit);
}

/** The `Authorization` header of the Basic scheme (RFC 7617). */
export function basicHeader(credentials: Credentials): string {
  return `Basic ${encodeLogin(credentials)}`;
}

/** Hint for missing credentials. */
export function loginHint(host: string): string {
  return `log in with: imgtool login ${host}`;
}

/** Hint for refused credentials. */
export function wrongLoginHint(host: string): string {
  return `check the user name and the password, or ${loginHint(host)}`;
}

/** OAuth2 services answer 400 to an expired refresh token (RFC 6749, 5.2). */
function isRefusal({ status, body }: BufferedResponse): boolean {
  return status === 401 || status === 403 || (status === 400 && /invalid_grant/.test(body.toString('latin1')));
}

function tokenRefusedError({ scope, credentials }: TokenRequest): AuthenticationError {
  const { host, repository } = scope;
  const whom =
    credentials === undefined ? 'gives no anonymous token' : `refused the credentials of ${credentials.source}`;
  return new AuthenticationError(`the token service of ${host} ${whom} for ${repository ?? 'this registry'}`, {
    host,
    scheme: 'bearer',
    credentialSource: credentials?.source,
    isLoginRefused: true,
    hint: credentials === undefined ? loginHint(host) : wrongLoginHint(host),
  });
}

function pushDeniedError({ scope: { host }, credentials }: TokenRequest, repository: string): AuthenticationError {
  const who = credentials === undefined ? 'anonymous users' : credentials.username || 'this login';
  return new AuthenticationError(`the token service of ${host} does not let ${who} push to ${repository}`, {
    host,
    scheme: 'bearer',
    credentialSource: credentials?.source,
    isLoginRefused: true,
    hint: credentials === undefined ? loginHint(host) : `check the name, or ask for the right to push to ${repository}`,
  });
}

interface TokenAnswer {
  /** Undefined without a token that is valid in a header. */
  readonly token: string | undefined;
  readonly refreshToken: string | undefined;
  /** Lifetime; undefined when the response does not state it. */
  readonly seconds: number | undefined;
}

function parseAnswer(body: Buffer): TokenAnswer {
  let answer: Record<string, unknown> | null;
  try {
    answer = JSON.parse(body.toString('utf8')) as Record<string, unknown> | null;
  } catch {
    answer = null;
  }
  const usable = (token: unknown): string | undefined =>
    typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
  const seconds = answer?.expires_in;
  return {
    token: usable(answer?.token) ?? usable(answer?.access_token),
    refreshToken: usable(answer?.refresh_token),
    seconds: typeof seconds === 'number' && seconds > 0 ? seconds : undefined,
  };
}
