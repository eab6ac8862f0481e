import { UsageError } from '../errors.js';
import type { RegistryAccess } from '../operations/index.js';
import type { OptionKinds } from './check-options.js';
import { namedLogin, splitCredentials, type NamedLogin } from './named-login.js';
import type { Settings } from './settings.js';

/** The two sides of a copy. */
type Side = 'src' | 'dest';

/** How one side of a copy is reached, where it differs from the settings. */
export type SideOptions = {
  /** `USER[:PASSWORD]`. */
  readonly [K in `${Side}Creds`]?: string | undefined;
} & {
  readonly [K in `${Side}Authfile` | `${Side}CertDir`]?: string | undefined;
} & {
  readonly [K in `${Side}TlsVerify`]?: boolean | undefined;
};

export const SIDES: OptionKinds<SideOptions> = {
  ...{ srcCreds: 'text', srcAuthfile: 'text', srcCertDir: 'text', srcTlsVerify: 'flag' },
  ...{ destCreds: 'text', destAuthfile: 'text', destCertDir: 'text', destTlsVerify: 'flag' },
};

/**
 * How one side is reached when options say so. `hosts`: the registries of that side: credentials go to one only. Throws
 * UsageError when there are more.
 */
export function sideAccess(options: SideOptions, side: Side, hosts: readonly string[]): RegistryAccess | undefined {
  const creds = options[`${side}Creds`];
  const authfile = options[`${side}Authfile`];
  const certDir = options[`${side}CertDir`];
  const tlsVerify = options[`${side}TlsVerify`];
  const [host, ...more] = new Set(hosts);
  if (creds !== undefined && more.length > 0) {
    throw new UsageError(`--${side}-creds goes to one registry, not to ${[host, ...more].join(', ')}`, {
      hint: `use --${side}-authfile, which has a login for each`,
    });
  }
  const login = creds === undefined || host === undefined ? undefined : { host, ...splitCredentials(creds) };
  if ([login, authfile, certDir, tlsVerify].every((given) => given === undefined)) return undefined;
  return { login, authfile, certDir, tlsVerify };
}

/** How the registries of a mirror or a copy are reached, and which. */
export interface ReachedSides {
  readonly source: RegistryAccess | undefined;
  readonly target: RegistryAccess | undefined;
  readonly sourceHosts: readonly string[];
  readonly targetHosts: readonly string[];
}

/** Gives the login of the setting `creds` to sides without logins of their own. Throws UsageError when it would go to several registries. */
export function withNamedLogin<T extends ReachedSides>(settings: Settings, all: readonly T[]): T[] {
  const open = all.flatMap(({ source, target, sourceHosts, targetHosts }) => [
    ...(hasLogins(source) ? [] : sourceHosts),
    ...(hasLogins(target) ? [] : targetHosts),
  ]);
  const login = namedLogin(settings, open, 'use --src-creds and --dest-creds');
  return all.map((sides) => ({
    ...sides,
    source: withLogin(sides.source, login),
    target: withLogin(sides.target, login),
  }));
}

function hasLogins(access: RegistryAccess | undefined): boolean {
  return access?.login !== undefined || access?.authfile !== undefined;
}

function withLogin(access: RegistryAccess | undefined, login: NamedLogin | undefined): RegistryAccess | undefined {
  return login === undefined || hasLogins(access) ? access : { ...access, login };
}
