import { DEFAULTS } from '../../imgtool/index.js';
import { parseSize } from '../../util/index.js';
import type { OptionSpec } from '../option.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to select from an index; default: that of this machine',
  shared: true,
};

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
