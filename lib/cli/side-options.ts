import type { SideOptions } from '../imgtool/index.js';
import type { OptionSpec } from './option.js';
import type { Options } from './options.js';

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

/** The values of these options. */
export function sideOptions(options: Options): SideOptions {
  const flag = (name: string): boolean | undefined => (options.isSet(name) ? options.flag(name) : undefined);
  return {
    srcCreds: options.text('src-creds'),
    srcAuthfile: options.text('src-authfile'),
    srcCertDir: options.text('src-cert-dir'),
    srcTlsVerify: flag('src-tls-verify'),
    destCreds: options.text('dest-creds'),
    destAuthfile: options.text('dest-authfile'),
    destCertDir: options.text('dest-cert-dir'),
    destTlsVerify: flag('dest-tls-verify'),
  };
}
