import { DEFAULTS } from '../../imgtool/index.js';
import { hostPlatform } from '../../spec/index.js';
import { parseSize } from '../../util/index.js';
import { UsageError } from '../../errors.js';
import { wholeNumber, type OptionSpec } from './option.js';
import type { Options } from './options.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to select from an index; default: that of this machine',
  shared: true,
};

/** `--os`, `--arch` and `--variant`, as podman takes them in place of `--platform`. */
export const PLATFORM_PARTS: readonly OptionSpec[] = [
  { name: 'os', value: 'OS', summary: 'operating system of the platform, in place of --platform' },
  { name: 'arch', value: 'ARCH', summary: 'architecture of the platform, in place of --platform' },
  { name: 'variant', value: 'VARIANT', summary: 'variant of the architecture, in place of --platform' },
];

/** The platform asked for by `--platform`, or by its parts. Throws UsageError. */
export function platformText(options: Options): string | undefined {
  const platform = options.text('platform');
  const [os, arch, variant] = ['os', 'arch', 'variant'].map((name) => options.text(name));
  if (os === undefined && arch === undefined && variant === undefined) return platform;
  if (options.origin('platform') === 'flag')
    throw new UsageError('--platform and --os, --arch or --variant say the same', { hint: 'give one of them' });
  const parts = [os ?? 'linux', arch ?? hostPlatform().architecture];
  return [...parts, ...(variant === undefined ? [] : [variant])].join('/');
}

/** How layers are compressed: in one option, or in two as podman and skopeo take it. */
export const COMPRESSION: readonly OptionSpec[] = [
  {
    name: 'compression',
    value: 'KIND[:LEVEL]',
    summary: 'gzip or zstd; layers that have this compression are kept unless a level is given',
  },
  {
    name: 'compression-format',
    aliases: ['dest-compress-format'],
    value: 'KIND',
    choices: ['gzip', 'zstd'],
    summary: 'the KIND of --compression',
  },
  {
    name: 'compression-level',
    aliases: ['dest-compress-level'],
    value: 'LEVEL',
    parse: wholeNumber(0),
    summary: 'the LEVEL of --compression',
  },
];

/** `KIND[:LEVEL]` of these options. Throws UsageError when they contradict each other. */
export function compressionText(options: Options): string | undefined {
  const [text, kind, level] = [
    options.text('compression'),
    options.text('compression-format'),
    options.number('compression-level'),
  ];
  if (kind === undefined && level === undefined) return text;
  if (options.origin('compression') === 'flag')
    throw new UsageError('--compression says format and level already', {
      hint: 'write --compression zstd:19, or the two others',
    });
  return level === undefined ? kind : `${kind ?? 'gzip'}:${level}`;
}

/** `--pull` of commands that make containers. */
export const PULL: OptionSpec = {
  name: 'pull',
  value: 'WHEN',
  choices: ['missing', 'always', 'newer', 'never'],
  default: 'missing',
  summary: 'when to pull the image first',
};

/** Options of peers that are refused with the same hint. */
export function refusing(options: readonly string[], hint: string): Readonly<Record<string, string>> {
  return Object.fromEntries(options.map((option) => [option, hint]));
}

/** A list without its first line. */
export const NO_HEADING: OptionSpec = {
  name: 'noheading',
  short: 'n',
  default: false,
  summary: 'print no column headings',
};

/** Flags of peers that change nothing here, because it is so anyway. */
export function withoutEffect(name: string, why: string, more: Partial<OptionSpec> = {}): OptionSpec {
  return { name, default: false, summary: `no effect: ${why}`, ...more };
}

const RESERVE_OPTION = { name: 'reserve', value: 'SIZE', parse: parseSize, shared: true } as const;

/** `--reserve`, the same in every command that brings images in. */
export const RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  default: DEFAULTS.reserve,
  summary: 'bytes to keep free on the file system of the store',
};

/** `--reserve` of commands that make images here: without it they work on a small or nearly full disk too. */
export const BUILD_RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  summary:
    'bytes to keep free on the file system of the store; default: 1 GiB, or half of the free space if below 2 GiB',
};

/** `--change`, the same in every command that makes a config. */
export const CHANGE: OptionSpec = {
  name: 'change',
  short: 'c',
  value: 'INSTRUCTION',
  repeat: true,
  summary:
    'Dockerfile instruction to apply to the config: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR; ENV NAME- and LABEL NAME- remove',
};

/** Where jobs are put and taken from. */
export const QUEUE_OPTION: OptionSpec = {
  name: 'queue',
  value: 'URL',
  shared: true,
  secret: true,
  summary: 'Redis queue of the workers: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS',
};
