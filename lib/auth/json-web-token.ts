/** One granted resource of a registry token (distribution "token/jwt", claim `access`). */
export interface GrantedAccess {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** What a token says of itself; nothing is verified: that is the registry's to do. */
export interface TokenClaims {
  /** Undefined: the token does not say. */
  readonly access: readonly GrantedAccess[] | undefined;
  /** Seconds; undefined: the token does not say. */
  readonly lifetime: number | undefined;
}

/** Reads the claims of a token where it is a JSON web token (RFC 7519); others say nothing. */
export function tokenClaims(token: string): TokenClaims {
  const claims = payloadOf(token);
  const { exp, iat, nbf } = claims;
  const from = typeof iat === 'number' ? iat : nbf;
  const lifetime = typeof exp === 'number' && typeof from === 'number' && exp > from ? exp - from : undefined;
  return { access: Array.isArray(claims.access) ? claims.access.flatMap(readAccess) : undefined, lifetime };
}

/**
 * Whether a token surely does not allow to push. A service may know a repository by another name, so a token that names
 * others only says nothing.
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
