import type { CredentialLookup, CredentialStore, KeptLogin, Login, RegistryKey } from '../../auth/index.js';
import { AuthenticationError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';

/** What logging in needs. */
export interface LoginDeps {
  readonly credentials: CredentialStore;
  /** Makes a client that has these logins and no others; the operation closes it. */
  readonly connect: (find: CredentialLookup) => Promise<Pick<RegistryClient, 'ping' | 'close'>>;
}

/** Where a login is kept now. */
export interface LoginResult extends KeptLogin {
  readonly host: string;
  readonly username: string;
  /** False: the registry let us in without asking who we are. */
  readonly checked: boolean;
  /** A refresh token of its token service is kept in place of the password. */
  readonly identityToken: boolean;
}

/**
 * Has the registry check a login, then keeps it; where the token service gives a refresh token, that one and no password. Throws AuthenticationError when it is wrong or a helper fails (nothing is
 * kept then), RegistryError, TransportError, UsageError when it cannot be written, AbortError.
 */
export async function logIn(
  { credentials, connect }: LoginDeps,
  request: { readonly key: RegistryKey; readonly login: Login; readonly signal: AbortSignal },
): Promise<LoginResult> {
  const { key, login, signal } = request;
  const { host } = key;
  let checked = false;
  let identityToken: string | undefined;
  const client = await connect((asking) => {
    if (asking !== host) return Promise.resolve(undefined);
    checked = true;
    return Promise.resolve({ ...login, source: 'this login', onRefreshToken: (token) => (identityToken = token) });
  });
  try {
    await client.ping(host, { signal });
  } catch (error) {
    // What is no matter of user name and password, such as where the token service is, says more as it is.
    if (!(error instanceof AuthenticationError) || !checked || !error.isLoginRefused) throw error;
    throw new AuthenticationError(`${host} refused the login of ${login.username}`, {
      host,
      scheme: error.scheme,
      isLoginRefused: true,
      hint: 'check user name and password',
      cause: error,
    });
  } finally {
    await client.close();
  }
  const kept = await credentials.save(key, { ...login, identityToken }, { signal });
  return { host, username: login.username, checked, identityToken: identityToken !== undefined, ...kept };
}
