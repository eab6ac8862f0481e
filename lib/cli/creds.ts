import { UsageError } from '../errors.js';
import type { Options } from './options.js';

/** User and password for one registry. */
export interface NamedLogin {
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

/** Splits the USER[:PASS] of `--creds`; without a colon the password is empty. */
export function splitCredentials(text: string): { readonly username: string; readonly password: string } {
  const colon = text.indexOf(':');
  return colon < 0
    ? { username: text, password: '' }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * The login of `--creds`, bound to the only registry that the command line names: `hosts`, each as often as it occurs.
 * Undefined without --creds; also without hosts, unless --creds is on the command line. Throws UsageError when it cannot be
 * told where the password belongs; `hint` says what to use for several registries.
 */
export function namedLogin(options: Options, hosts: readonly string[], hint: string): NamedLogin | undefined {
  const creds = options.text('creds');
  const [host, ...more] = new Set(hosts);
  if (creds === undefined) return undefined;
  const origin = options.origin('creds');
  const what = origin === 'flag' ? '--creds' : `creds (${origin})`;
  if (more.length > 0) {
    throw new UsageError(`${what} goes to one registry, not to ${[host, ...more].join(', ')}`, { hint });
  }
  if (host !== undefined) return { host, ...splitCredentials(creds) };
  // A variable or a file is not about this command.
  if (origin !== 'flag') return undefined;
  throw new UsageError('--creds is for a registry named on the command line, and there is none that needs it', {
    hint: 'keep a login for each registry with: imgtool login HOST',
  });
}

/** Hint where several registries need logins, and the command takes no login for each. */
export const SEVERAL_LOGINS = 'log in to each with imgtool login HOST, or use --authfile';
