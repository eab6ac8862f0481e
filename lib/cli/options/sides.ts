import type { SideOptions } from '../../imgtool/index.js';
import type { OptionSpec } from './option.js';
import type { Options } from './options.js';

const SIDES = { src: 'the source', dest: 'destinations' } as const;

/** Options for access to either side of a copy, spelled as in skopeo-copy(1). */
export const SIDE_OPTIONS: readonly OptionSpec[] = (['src', 'dest'] as const).flatMap((side): OptionSpec[] => [
  {
    name: `${side}-creds`,
    value: 'USER[:PASS]',
    secret: true,
    summary: `credentials for ${SIDES[side]} only`,
    shared: true,
  },
  { name: `${side}-username`, value: 'USER', summary: `user name for ${SIDES[side]} only`, shared: true },
  {
    name: `${side}-password`,
    value: 'PASSWORD',
    secret: true,
    summary: `password for ${SIDES[side]} only; other users of this machine can see it on the command line`,
    shared: true,
  },
  {
    name: `${side}-registry-token`,
    value: 'TOKEN',
    secret: true,
    summary: `bearer token for ${SIDES[side]} only`,
    shared: true,
  },
  { name: `${side}-no-creds`, default: false, summary: `use no login for ${SIDES[side]}`, shared: true },
  { name: `${side}-authfile`, value: 'FILE', summary: `credentials file for ${SIDES[side]} only`, shared: true },
  { name: `${side}-cert-dir`, value: 'DIR', summary: `certificates for ${SIDES[side]} only`, shared: true },
  { name: `${side}-tls-verify`, summary: `like --tls-verify, for ${SIDES[side]} only`, shared: true },
]);

/** The values of these options. */
export function sideOptions(options: Options): SideOptions {
  const flag = (name: string): boolean | undefined => (options.isSet(name) ? options.flag(name) : undefined);
  return {
    srcCreds: options.text('src-creds'),
    srcUsername: options.text('src-username'),
    srcPassword: options.text('src-password'),
    srcRegistryToken: options.text('src-registry-token'),
    srcNoCreds: options.flag('src-no-creds'),
    srcAuthfile: options.text('src-authfile'),
    srcCertDir: options.text('src-cert-dir'),
    srcTlsVerify: flag('src-tls-verify'),
    destCreds: options.text('dest-creds'),
    destUsername: options.text('dest-username'),
    destPassword: options.text('dest-password'),
    destRegistryToken: options.text('dest-registry-token'),
    destNoCreds: options.flag('dest-no-creds'),
    destAuthfile: options.text('dest-authfile'),
    destCertDir: options.text('dest-cert-dir'),
    destTlsVerify: flag('dest-tls-verify'),
  };
}
