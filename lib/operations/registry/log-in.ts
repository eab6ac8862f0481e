import type { CredentialLookup, CredentialStore, KeptLogin, Login, RegistryKey } from '../../auth/index.js';
import { AuthenticationError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';

export interface LoginDeps {
  readonly credentials: CredentialStore;
  /** Creates a client that uses only these logins. `logIn` closes it. */
  readonly connect: (find: CredentialLookup) => Promise<Pick<RegistryClient, 'ping' | 'close'>>;
}

/** Where a login was saved. */
export interface LoginResult extends KeptLogin {
  readonly host: string;
  readonly username: string;
  /** False when the registry did not ask for credentials. */
  readonly checked: boolean;
  /** A refresh token from the token service was saved instead of the password. */
  readonly identityToken: boolean;
}

/**
 * Lets the registry verify a login and saves it, or a refresh token instead of the password if the token service issues
 * one. Throws AuthenticationError (wrong login, or a helper failed; nothing is saved then), RegistryError,
 * TransportError, UsageError (it cannot be saved), AbortError.
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
    // Errors that do not concern user name and password, such as a wrong token service, are clearer unchanged.
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
