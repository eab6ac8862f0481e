import { UsageError } from '../errors.js';
import type { RegistryAccess } from '../operations/index.js';
import type { OptionKinds } from './check-options.js';
import { namedLogin, type NamedLogin } from './named-login.js';
import { splitCredentials } from './split-credentials.js';
import type { Settings } from './settings.js';

/** The two sides of a copy. */
type Side = 'src' | 'dest';

/** Access to one side of a copy, where it differs from the settings. */
export type SideOptions = {
  /** `USER[:PASSWORD]`. */
  readonly [K in `${Side}Creds`]?: string | undefined;
} & {
  readonly [K in `${Side}Authfile` | `${Side}CertDir` | `${Side}Username` | `${Side}Password`]?: string | undefined;
} & {
  /** A bearer token, sent unchanged. */
  readonly [K in `${Side}RegistryToken`]?: string | undefined;
} & {
  /** Uses no login, even if the credentials files have one. */
  readonly [K in `${Side}NoCreds`]?: boolean | undefined;
} & {
  readonly [K in `${Side}TlsVerify`]?: boolean | undefined;
};

export const SIDES: OptionKinds<SideOptions> = {
  ...{ srcUsername: 'text', srcPassword: 'text', srcRegistryToken: 'text', srcNoCreds: 'flag' },
  ...{ destUsername: 'text', destPassword: 'text', destRegistryToken: 'text', destNoCreds: 'flag' },
  ...{ srcCreds: 'text', srcAuthfile: 'text', srcCertDir: 'text', srcTlsVerify: 'flag' },
  ...{ destCreds: 'text', destAuthfile: 'text', destCertDir: 'text', destTlsVerify: 'flag' },
};

/**
 * Access to one side as set by options. `hosts`: the registries of that side. Throws UsageError if credentials are
 * given for more than one.
 */
export function sideAccess(options: SideOptions, side: Side, hosts: readonly string[]): RegistryAccess | undefined {
  const authfile = options[`${side}Authfile`];
  const certDir = options[`${side}CertDir`];
  const tlsVerify = options[`${side}TlsVerify`];
  const [host, ...more] = new Set(hosts);
  const given = loginOf(options, side);
  if (given !== undefined && more.length > 0) {
    throw new UsageError(`--${given.option} goes to one registry, not to ${[host, ...more].join(', ')}`, {
      hint: `use --${side}-authfile, which has a login for each`,
    });
  }
  const login = given === undefined || host === undefined ? undefined : { host, ...given.login };
  const anonymous = options[`${side}NoCreds`] === true ? true : undefined;
  if (anonymous && (given !== undefined || authfile !== undefined)) {
    throw new UsageError(`--${side}-no-creds cannot be combined with a login`, {
      hint: `leave out --${given?.option ?? `${side}-authfile`}`,
    });
  }
  if ([login, authfile, certDir, tlsVerify, anonymous].every((value) => value === undefined)) return undefined;
  return { login, authfile, certDir, tlsVerify, anonymous };
}

interface GivenLogin {
  /** The option that set it. */
  readonly option: string;
  readonly login: Omit<NonNullable<RegistryAccess['login']>, 'host'>;
}

/** The login from the options of one side, which have three forms. Throws UsageError if several are given. */
function loginOf(options: SideOptions, side: Side): GivenLogin | undefined {
  const [creds, token] = [options[`${side}Creds`], options[`${side}RegistryToken`]];
  const [username, password] = [options[`${side}Username`], options[`${side}Password`]];
  if (username === undefined && password !== undefined)
    throw new UsageError(`--${side}-password requires --${side}-username`, { hint: 'give both' });
  const ways: GivenLogin[] = [
    ...(creds === undefined ? [] : [{ option: `${side}-creds`, login: splitCredentials(creds) }]),
    ...(username === undefined ? [] : [{ option: `${side}-username`, login: { username, password: password ?? '' } }]),
    ...(token === undefined
      ? []
      : [{ option: `${side}-registry-token`, login: { username: '', password: '', registryToken: token } }]),
  ];
  if (ways.length > 1) {
    throw new UsageError(`${ways.map(({ option }) => `--${option}`).join(' and ')} each give a login`, {
      hint: 'give one of them',
    });
  }
  return ways[0];
}

/** The registries of a mirror or a copy and the access to each side. */
interface ReachedSides {
  readonly source: RegistryAccess | undefined;
  readonly target: RegistryAccess | undefined;
  readonly sourceHosts: readonly string[];
  readonly targetHosts: readonly string[];
}

/** Gives the login of the setting `creds` to sides without a login. Throws UsageError if it would go to several registries. */
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
  return access?.login !== undefined || access?.authfile !== undefined || access?.anonymous === true;
}

function withLogin(access: RegistryAccess | undefined, login: NamedLogin | undefined): RegistryAccess | undefined {
  return login === undefined || hasLogins(access) ? access : { ...access, login };
}
