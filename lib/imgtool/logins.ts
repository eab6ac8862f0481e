import type { KeptLogin, Login } from '../auth/index.js';
import { AuthenticationError } from '../errors.js';
import type { LoginResult } from '../operations/index.js';
import { checkOptions, checkText, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';

export interface LoginOptions extends Stoppable {
  readonly username: string;
  /** Password or access token. */
  readonly password: string;
}

const LOGIN: OptionKinds<LoginOptions> = { ...STOPPABLE, username: 'name', password: 'name' };

export async function logIn(drivers: Drivers, registry: string, given: LoginOptions): Promise<LoginResult> {
  checkText('login', 'the registry', registry);
  const options = checkOptions('login', given, LOGIN);
  checkText('login', 'the option username', options.username);
  checkText('login', 'the option password', options.password);
  const key = await drivers.registryKey(registry);
  const login: Login = { username: options.username, password: options.password };
  const operations = await import('../operations/registry/index.js');
  const credentials = await drivers.credentials();
  const connect = (...args: Parameters<Drivers['connect']>) => drivers.connect(...args);
  return operations.logIn({ credentials, connect }, { key, login, signal: signalOf(options) });
}

/** Removes a login. Resolves with the host under which logins are stored, and the places that had one. */
export async function logOut(
  drivers: Drivers,
  registry: string,
  given: Stoppable,
): Promise<{ readonly host: string; readonly removed: readonly KeptLogin[] }> {
  checkText('logout', 'the registry', registry);
  const signal = signalOf(checkOptions('logout', given, STOPPABLE));
  const key = await drivers.registryKey(registry);
  return { host: key.host, removed: await (await drivers.credentials()).remove(key, { signal }) };
}

/** Like `logOut`, for every login in the user's files; resolves with the logins removed. */
export async function logOutOfAll(
  drivers: Drivers,
  given: Stoppable,
): Promise<{ readonly host: string; readonly removed: readonly KeptLogin[] }[]> {
  const signal = signalOf(checkOptions('logoutAll', given, STOPPABLE));
  const credentials = await drivers.credentials();
  const results = [];
  for (const key of await credentials.keys()) {
    const removed = await credentials.remove(key, { signal });
    if (removed.length > 0) results.push({ host: key.path === '' ? key.host : `${key.host}/${key.path}`, removed });
  }
  return results;
}

/** Throws AuthenticationError when there is no login. */
export async function getLogin(
  drivers: Drivers,
  registry: string,
  given: Stoppable,
): Promise<{ readonly host: string; readonly username: string; readonly source: string }> {
  checkText('getLogin', 'the registry', registry);
  const signal = signalOf(checkOptions('getLogin', given, STOPPABLE));
  const key = await drivers.registryKey(registry);
  const found = await (await drivers.credentials()).find(key.host, { repository: key.path, signal });
  if (found === undefined) {
    const hint = `log in with: imgtool login ${registry}`;
    throw new AuthenticationError(`not logged in to ${registry}`, { host: registry, hint });
  }
  return { host: key.host, username: found.username || '<token>', source: found.source };
}
