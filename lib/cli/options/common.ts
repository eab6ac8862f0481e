import type { OptionSpec } from './option.js';

/** `--pull` of commands that create containers. */
export const PULL: OptionSpec = {
  name: 'pull',
  value: 'WHEN',
  choices: ['missing', 'always', 'newer', 'never'],
  default: 'missing',
  summary: 'when to pull the image first',
};

/** Omits the headings of a list. */
export const NO_HEADING: OptionSpec = {
  name: 'noheading',
  short: 'n',
  default: false,
  summary: 'print no column headings',
};

/** `--change`, the same in every command that writes a config. */
export const CHANGE: OptionSpec = {
  name: 'change',
  short: 'c',
  value: 'INSTRUCTION',
  repeat: true,
  summary:
    'Dockerfile instruction to apply to the config: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR; ENV NAME- and LABEL NAME- remove',
};

/** Job queue for commands that send or process jobs. */
export const QUEUE_OPTION: OptionSpec = {
  name: 'queue',
  value: 'URL',
  shared: true,
  secret: true,
  summary: 'Redis queue of the workers: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS',
};
