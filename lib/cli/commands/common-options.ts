import { DEFAULTS } from '../../imgtool/index.js';
import { parseSize } from '../../util/index.js';
import type { OptionSpec } from '../option.js';

/** `--platform`, the same in every command that chooses from an index. */
export const PLATFORM: OptionSpec = {
  name: 'platform',
  value: 'OS/ARCH[/VARIANT]',
  summary: 'platform to choose from an index; that of this machine when not given',
  shared: true,
};

/** `--reserve`, the same in every command that brings images in. */
export const RESERVE: OptionSpec = {
  name: 'reserve',
  value: 'SIZE',
  parse: parseSize,
  default: DEFAULTS.reserve,
  summary: 'bytes to leave free on the file system of the store',
  shared: true,
};

/** `--change`, the same in every command that makes a config. */
export const CHANGE: OptionSpec = {
  name: 'change',
  short: 'c',
  value: 'INSTRUCTION',
  repeat: true,
  summary: 'Dockerfile instruction for the config: CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR STOPSIGNAL',
};

/** Where jobs are put and taken from. */
export const QUEUE_OPTION: OptionSpec = {
  name: 'queue',
  value: 'URL',
  shared: true,
  secret: true,
  summary: 'leave the work to workers: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS',
};
