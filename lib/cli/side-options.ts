import { UsageError } from '../errors.js';
import type { RegistryAccess } from '../operations/index.js';
import { splitCredentials } from './creds.js';
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
    summary: `credentials for ${SIDES[side]} alone`,
    shared: true,
  },
  { name: `${side}-authfile`, value: 'FILE', summary: `credentials file for ${SIDES[side]} alone`, shared: true },
  { name: `${side}-cert-dir`, value: 'DIR', summary: `certificates for ${SIDES[side]} alone`, shared: true },
  { name: `${side}-tls-verify`, summary: `as --tls-verify, for ${SIDES[side]} alone`, shared: true },
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
