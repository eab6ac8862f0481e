import { UsageError } from '../../errors.js';
import { hostPlatform } from '../../spec/index.js';
import type { OptionSpec } from './option.js';
import type { Options } from './options.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to select from an index; default: that of this machine',
  shared: true,
};

/** `--os`, `--arch` and `--variant`, podman's alternative to `--platform`. */
export const PLATFORM_PARTS: readonly OptionSpec[] = [
  { name: 'os', value: 'OS', summary: 'operating system of the platform, in place of --platform' },
  { name: 'arch', value: 'ARCH', summary: 'architecture of the platform, in place of --platform' },
  { name: 'variant', value: 'VARIANT', summary: 'variant of the architecture, in place of --platform' },
];

/** The platform of `--platform`, or of its parts. Throws UsageError. */
export function platformText(options: Options): string | undefined {
  const platform = options.text('platform');
  const [os, arch, variant] = ['os', 'arch', 'variant'].map((name) => options.text(name));
  if (os === undefined && arch === undefined && variant === undefined) return platform;
  if (options.origin('platform') === 'flag')
    throw new UsageError('--platform and --os, --arch or --variant say the same', { hint: 'give one of them' });
  const parts = [os ?? 'linux', arch ?? hostPlatform().architecture];
  return [...parts, ...(variant === undefined ? [] : [variant])].join('/');
}
