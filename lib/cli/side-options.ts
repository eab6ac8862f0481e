import { UsageError } from '../errors.js';
import type { RegistryAccess } from '../operations/index.js';
import { namedLogin, splitCredentials, type NamedLogin } from './creds.js';
import type { OptionSpec } from './option.js';
import type { Options } from './options.js';

/** The two sides of a copy. */
export type Side = 'src' | 'dest';

const SIDES = { src: 'the source', dest: 'destinations' } as const;

/** Options that say how one side of a copy is reached; spelled as skopeo-copy(1) spells them. */
export const SIDE_OPTIONS: readonly OptionSpec[] = (['src', 'dest'] as const).flatMap((side): OptionSpec[] => [
  {
    name: `${side}-creds`,
    value: 'USER[:PASS]',
    secret: true,
    summary: `credentials for ${SIDES[side]} only`,
    shared: true,
  },
  { name: `${side}-authfile`, value: 'FILE', summary: `credentials file for ${SIDES[side]} only`, shared: true },
  { name: `${side}-cert-dir`, value: 'DIR', summary: `certificates for ${SIDES[side]} only`, shared: true },
  { name: `${side}-tls-verify`, summary: `like --tls-verify, for ${SIDES[side]} only`, shared: true },
]);

/**
 * How one side is reached when options say so. `hosts`: the registries of that side: credentials go to one only. Throws
 * UsageError when there are more.
 */
export function sideAccess(options: Options, side: Side, hosts: readonly string[]): RegistryAccess | undefined {
  const creds = options.text(`${side}-creds`);
  const authfile = options.text(`${side}-authfile`);
  const certDir = options.text(`${side}-cert-dir`);
  const tlsVerify = options.isSet(`${side}-tls-verify`) ? options.flag(`${side}-tls-verify`) : undefined;
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

/** Gives the login of `--creds` to sides without logins of their own. Throws UsageError when it would go to several registries. */
export function withNamedLogin<T extends ReachedSides>(options: Options, all: readonly T[]): T[] {
  const open = all.flatMap(({ source, target, sourceHosts, targetHosts }) => [
    ...(hasLogins(source) ? [] : sourceHosts),
    ...(hasLogins(target) ? [] : targetHosts),
  ]);
  const login = namedLogin(options, open, 'use --src-creds and --dest-creds');
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
