import { DEFAULTS } from '../../imgtool/index.js';
import { parseSize } from '../../util/index.js';
import type { OptionSpec } from './option.js';

const RESERVE_OPTION = { name: 'reserve', value: 'SIZE', parse: parseSize, shared: true } as const;

/** `--reserve`, the same in every command that downloads images. */
export const RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  default: DEFAULTS.reserve,
  summary: 'bytes to keep free on the file system of the store',
};

/** `--reserve` of commands that build images; by default they also work on a small or nearly full disk. */
export const BUILD_RESERVE: OptionSpec = {
  ...RESERVE_OPTION,
  summary:
    'bytes to keep free on the file system of the store; default: 1 GiB, or half of the free space if below 2 GiB',
};
