/** One granted resource in a registry token (distribution "token/jwt", claim `access`). */
interface GrantedAccess {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** The claims of a token, unverified: verification is up to the registry. */
interface TokenClaims {
  /** Undefined: not stated. */
  readonly access: readonly GrantedAccess[] | undefined;
  /** Seconds; undefined: not stated. */
  readonly lifetime: number | undefined;
}

/** Reads the claims of a JSON web token (RFC 7519). Empty for other tokens. */
export function tokenClaims(token: string): TokenClaims {
  const claims = payloadOf(token);
  const { exp, iat, nbf } = claims;
  const from = typeof iat === 'number' ? iat : nbf;
  const lifetime = typeof exp === 'number' && typeof from === 'number' && exp > from ? exp - from : undefined;
  return { access: Array.isArray(claims.access) ? claims.access.flatMap(readAccess) : undefined, lifetime };
}

/**
 * Reports whether a token certainly does not allow a push. A service may use another name for a repository, so a token
 * that only names other repositories is inconclusive.
 */
export function deniesPush({ access }: TokenClaims, repository: string, mountFrom: readonly string[]): boolean {
  if (access === undefined) return false;
  const repositories = access.filter(({ type }) => type === 'repository');
  const own = repositories.filter(({ name }) => name === repository);
  if (own.length > 0) return !own.some(({ actions }) => actions.includes('push') || actions.includes('*'));
  return repositories.every(({ name }) => mountFrom.includes(name));
}

function payloadOf(token: string): Record<string, unknown> {
  const parts = token.split('.');
  if (parts.length !== 3) return {};
  try {
    const payload = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8')) as unknown;
    return typeof payload === 'object' && payload !== null ? (payload as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function readAccess(entry: unknown): GrantedAccess[] {
  const { type, name, actions } = (entry ?? {}) as Record<string, unknown>;
  if (typeof type !== 'string' || typeof name !== 'string') return [];
  const words = Array.isArray(actions) ? actions.filter((action) => typeof action === 'string') : [];
  return [{ type, name, actions: words }];
}
