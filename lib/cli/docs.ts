import { COMMAND_GROUPS, type CommandSpec } from './command.js';
import { EXIT_MEANING } from './exit-codes.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { optionText, usageLine } from './help.js';
import { configPathOf, flagTerm, variableOf, type OptionSpec } from './options/option.js';

/** Generates docs/cli.md from the tables of commands and options. */
export function cliReference(commands: readonly CommandSpec[]): string {
  return [
    '# Command line',
    '',
    'Generated from the command table by `npm run docs`; a test compares the two.',
    '',
    'Results go to stdout; progress, notes and errors go to stderr. With `--json` a command prints one JSON',
    'document. An error is one line `imgtool: WHAT failed: WHY`, often followed by `hint: WHAT TO DO`; with `--json` it is',
    '`{"error":{"code","message","hint",…}}` on stderr. The codes are in [errors.md](errors.md).',
    '',
    '## Exit codes',
    '',
    '| code | meaning |',
    '| --- | --- |',
    ...[...EXIT_MEANING].map(([code, meaning]) => `| ${code} | ${meaning} |`),
    '',
    '## Global options',
    '',
    'Accepted before and after the command. A flag overrides its variable, a variable overrides the config files',
    '(`$XDG_CONFIG_HOME/imgtool/config.yaml`, then `/etc/imgtool/config.yaml`).',
    '',
    ...optionTable(GLOBAL_OPTIONS, []),
    '',
    ...COMMAND_GROUPS.flatMap((group) => {
      const members = commands.filter((command) => command.group === group);
      return members.length === 0 ? [] : [`## ${group}`, '', ...members.flatMap(commandSection)];
    }),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

function commandSection(command: CommandSpec): string[] {
  return [
    `### \`${usageLine(command)}\``,
    '',
    `${command.summary.slice(0, 1).toUpperCase()}${command.summary.slice(1)}.` +
      (command.aliases.length === 0 ? '' : ` Also: \`imgtool ${command.aliases.join('`, `imgtool ')}\`.`),
    '',
    ...(command.description === undefined
      ? []
      : command.description.split('\n').flatMap((paragraph) => [paragraph, ''])),
    ...(command.options.length === 0 ? [] : [...optionTable(command.options, command.path), '']),
    '```sh',
    ...command.examples.flatMap(({ command: line, does }) => [`# ${does}`, line]),
    '```',
    '',
  ];
}

function optionTable(options: readonly OptionSpec[], path: readonly string[]): string[] {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  return [
    '| flag | variable | config key | meaning |',
    '| --- | --- | --- | --- |',
    ...options.map(
      (option) =>
        `| \`${cell(flagTerm(option))}\` | \`${variableOf(option, path)}\` | \`${configPathOf(option, path).join('.')}\` | ${cell(optionText(option))} |`,
    ),
  ];
}
