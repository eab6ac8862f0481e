import { UsageError } from '../../errors.js';
import { hostPlatform, parsePlatform, type Platform } from '../../spec/index.js';
import { parseSize } from '../../util/index.js';
import type { OptionSpec } from '../option.js';
import type { Options } from '../options.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to select from an index; default: that of this machine',
  shared: true,
};

/** Bytes that are left free on the file system of the store when nobody says otherwise. */
export const DEFAULT_RESERVE_BYTES = 2 ** 30;

const RESERVE_OPTION = { name: 'reserve', value: 'SIZE', parse: parseSize, shared: true } as const;

/** `--reserve`, the same in every command that brings images in. */
export const RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  default: DEFAULT_RESERVE_BYTES,
  summary: 'bytes to keep free on the file system of the store',
};

/** `--reserve` of commands that make images here: without it they work on a small or nearly full disk too. */
export const BUILD_RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  summary:
    'bytes to keep free on the file system of the store; default: 1 GiB, or half of the free space if below 2 GiB',
};

/** The platform asked for, and whether it was asked for. Throws UsageError. */
export function platformOf(options: Options): { readonly platform: Platform; readonly platformGiven: boolean } {
  const text = options.text('platform');
  return { platform: text === undefined ? hostPlatform() : parsePlatform(text), platformGiven: text !== undefined };
}

/** `--change`, the same in every command that makes a config. */
export const CHANGE: OptionSpec = {
  name: 'change',
  short: 'c',
  value: 'INSTRUCTION',
  repeat: true,
  summary:
    'Dockerfile instruction to apply to the config: CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR STOPSIGNAL',
};

/** SOURCE_DATE_EPOCH of the environment (reproducible-builds.org): seconds since 1970. Throws UsageError. */
export function sourceDateEpoch(): number | undefined {
  const text = process.env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new UsageError(`SOURCE_DATE_EPOCH is ${JSON.stringify(text.slice(0, 100))}, not seconds since 1970`);
}

/** Where bytes wait that cannot be passed on at once: TMPDIR, else /var/tmp, because /tmp may lie in memory. */
export function spoolDirectory(): string {
  return process.env.TMPDIR ?? '/var/tmp';
}

/** Where jobs are put and taken from. */
export const QUEUE_OPTION: OptionSpec = {
  name: 'queue',
  value: 'URL',
  shared: true,
  secret: true,
  summary: 'Redis queue of the workers: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS',
};
