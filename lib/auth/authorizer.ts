import { AuthenticationError } from '../errors.js';
import type { HttpClient } from '../http/index.js';
import { BearerToken } from './bearer-token.js';
import { parseChallenges, type Challenge } from './challenge.js';
import { basicHeader, fetchToken, loginHint, tokenScopes, wrongLoginHint, type TokenRequest } from './fetch-token.js';
import { checkTokenRealm } from './token-realm.js';
import type { Authorizer, AuthScope, CredentialLookup, Credentials, Refusal } from './types.js';

export interface AuthorizerOptions {
  readonly http: HttpClient;
  /** Returns the credentials for `host[:port]` as the user wrote it, or undefined. Default: no credentials. */
  readonly credentials?: CredentialLookup;
  /** The host of the token service to which a registry on another host may send passwords. Default: a built-in list. */
  readonly tokenService?: (host: string) => string | undefined;
}

/** Creates an authorizer for Basic and Bearer challenges. Without credentials it fetches anonymous tokens. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  return new ChallengeAuthorizer(options);
}

class ChallengeAuthorizer implements Authorizer {
  readonly #options: AuthorizerOptions;
  /** The header or token for each challenge, by host and scope. */
  readonly #answers = new Map<string, string | BearerToken>();
  /** Tokens by realm, service, scopes and account: different challenges may share one. */
  readonly #tokens = new Map<string, BearerToken>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  async header(scope: AuthScope, signal: AbortSignal): Promise<string | undefined> {
    const answer = this.#answers.get(scopeKey(this.#usable(scope)));
    return answer instanceof BearerToken ? answer.header(signal) : answer;
  }

  hasExpired(header: string): boolean {
    return header.startsWith('Bearer ') && ![...this.#tokens.values()].some((token) => token.isValid(header));
  }

  async credentialSource({ host, repository }: AuthScope, signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await this.#options.credentials?.(host, { repository, signal }))?.source;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async answer(wanted: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<string> {
    const scope = this.#usable(wanted);
    const challenges = parseChallenges(refusal.challenge);
    const { host, repository } = scope;
    const credentials = await this.#options.credentials?.(host, { repository, signal });
    signal.throwIfAborted();
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer === undefined || credentials?.registryToken !== undefined) {
      const header =
        bearer === undefined ? this.#basic(challenges, host, credentials) : `Bearer ${credentials?.registryToken}`;
      if (header === refusal.refused) throw credentialsRefusedError(host, credentials);
      this.#answers.set(scopeKey(scope), header);
      return header;
    }
    const token = await this.#token(bearer, { scope, refusal, credentials });
    const header = await token.header(signal, refusal.refused);
    if (header === refusal.refused) throw credentialsRefusedError(host, credentials);
    // Fetching it may have shown that the host issues tokens for single repositories only.
    this.#answers.set(scopeKey(this.#usable(scope)), token);
    return header;
  }

  /** Reduces a scope to one repository if its host issues no other tokens. */
  #usable(scope: AuthScope): AuthScope {
    const { oneScopeTokens = false } = this.#options.http.knownHosts.of(scope.host);
    return oneScopeTokens ? { ...scope, mountFrom: [] } : scope;
  }

  async #token(
    { parameters }: Challenge,
    { scope, refusal, credentials }: { scope: AuthScope; refusal: Refusal; credentials: Credentials | undefined },
  ): Promise<BearerToken> {
    const realm = await checkTokenRealm(parameters.realm, {
      registryUrl: refusal.url,
      host: scope.host,
      withPassword: credentials !== undefined,
      trusted: this.#options.tokenService?.(scope.host),
    });
    const { service } = parameters;
    const request: TokenRequest = { realm, service, scope, challengeScope: parameters.scope, credentials };
    const account = credentials === undefined ? [] : [credentials.source, credentials.username];
    const key = JSON.stringify([realm.href, service, tokenScopes(request), account]);
    let token = this.#tokens.get(key);
    if (token === undefined) {
      token = new BearerToken((signal) => fetchToken(this.#options.http, request, signal));
      this.#tokens.set(key, token);
    }
    return token;
  }

  #basic(challenges: readonly Challenge[], host: string, credentials: Credentials | undefined): string {
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      const asked = challenges.map(({ scheme }) => scheme).join(', ') || 'no scheme at all';
      throw new AuthenticationError(`${host} asks for authentication with ${asked}, which imgtool does not support`, {
        host,
      });
    }
    if (credentials !== undefined && credentials.password !== '') return basicHeader(credentials);
    throw new AuthenticationError(`${host} requires a user name and password`, {
      host,
      scheme: 'basic',
      credentialSource: credentials?.source,
      isLoginRefused: true,
      hint: loginHint(host),
    });
  }
}

function credentialsRefusedError(host: string, credentials: Credentials | undefined): AuthenticationError {
  const of = credentials === undefined ? '' : ` of ${credentials.source}`;
  return new AuthenticationError(`${host} refused the credentials${of}`, {
    host,
    credentialSource: credentials?.source,
    isLoginRefused: true,
    hint: credentials === undefined ? loginHint(host) : wrongLoginHint(host),
  });
}

function scopeKey(scope: AuthScope): string {
  return [scope.host, scope.repository ?? '', scope.actions, ...(scope.mountFrom ?? [])].join(' ');
}
