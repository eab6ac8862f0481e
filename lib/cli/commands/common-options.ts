import { hostPlatform, parsePlatform, type Platform } from '../../spec/index.js';
import type { OptionSpec } from '../option.js';
import type { Options } from '../options.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to choose from an index; that of this machine when not given',
  shared: true,
};

/** The platform asked for, and whether it was asked for. Throws UsageError. */
export function platformOf(options: Options): { readonly platform: Platform; readonly platformGiven: boolean } {
  const text = options.text('platform');
  return { platform: text === undefined ? hostPlatform() : parsePlatform(text), platformGiven: text !== undefined };
}
