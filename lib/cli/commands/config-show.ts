import type { CommandTable } from '../command.js';
import { GLOBAL_OPTIONS } from '../options/global.js';
import { configPathOf, variableOf, type OptionValue } from '../options/option.js';

export const configShow: CommandTable = {
  group: 'Other',
  summary: 'show the effective settings and where they come from',
  description:
    'A flag overrides a variable, and a variable overrides the config files; $XDG_CONFIG_HOME/imgtool/config.yaml overrides ' +
    '/etc/imgtool/config.yaml. Secrets are masked.\n' +
    'The config files hold the settings of a registry under "registries", by host: registries: {"localhost:5000": {tls-verify: false}}.',
  arguments: [],
  options: [{ name: 'origin', default: false, summary: 'show where each value comes from' }],
  examples: [
    { command: 'imgtool config show --origin', does: 'show which file or variable sets each value' },
    { command: 'IMGTOOL_PARALLEL=12 imgtool config show --json', does: 'as JSON, with one setting from a variable' },
  ],
  run({ options }) {
    const rows = options
      .all()
      .filter(({ spec }) => GLOBAL_OPTIONS.includes(spec))
      .map(({ spec, value, origin }) => ({
        key: configPathOf(spec, []).join('.'),
        variable: variableOf(spec, []),
        value: spec.secret === true && value !== undefined ? '********' : (value ?? null),
        origin,
      }));
    const cell = (value: OptionValue | null): string => (value === null ? '' : value.toString());
    return Promise.resolve({
      json: rows,
      text: options.flag('origin')
        ? {
            columns: ['KEY', 'VALUE', 'ORIGIN'],
            rows: rows.map(({ key, value, origin }) => [key, cell(value), origin]),
          }
        : { columns: ['KEY', 'VALUE'], rows: rows.map(({ key, value }) => [key, cell(value)]) },
    });
  },
};
