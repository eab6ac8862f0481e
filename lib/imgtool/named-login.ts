import { UsageError } from '../errors.js';
import type { Settings } from './settings.js';
import { splitCredentials } from './split-credentials.js';

/** Username and password for one registry. */
export interface NamedLogin {
  /** `host[:port]` as given by the user. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

/**
 * The login of the setting `creds`, bound to the only registry that a call names; `hosts` may repeat a host. Undefined
 * without the setting; also without hosts, unless it is a flag of the command. Throws UsageError if it is ambiguous
 * which registry should get the password; `hint` names the alternative for several registries.
 */
export function namedLogin(
  { creds }: Pick<Settings, 'creds'>,
  hosts: readonly string[],
  hint: string,
): NamedLogin | undefined {
  const [host, ...more] = new Set(hosts);
  if (creds === undefined) return undefined;
  const { text, origin } = creds;
  const what = origin === 'flag' ? '--creds' : `creds (${origin})`;
  if (more.length > 0) {
    throw new UsageError(`${what} goes to one registry, not to ${[host, ...more].join(', ')}`, { hint });
  }
  if (host !== undefined) return { host, ...splitCredentials(text) };
  // An option, a variable or a file does not refer to this call in particular.
  if (origin !== 'flag') return undefined;
  throw new UsageError('--creds needs a registry on the command line that requires a login', {
    hint: 'keep a login for each registry with: imgtool login HOST',
  });
}

/** Hint when several registries need logins and the command has no login option for each. */
export const SEVERAL_LOGINS = 'log in to each with imgtool login HOST, or use --authfile';
