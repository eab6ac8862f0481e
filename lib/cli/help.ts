import { COMMAND_GROUPS, type ArgumentSpec, type CommandSpec } from './command.js';
import { EXIT_MEANING } from './exit-codes.js';
import { flagTerm, variableOf, type OptionSpec } from './options/option.js';
import { GLOBAL_OPTIONS, HELP, VERSION_FLAG } from './options/global.js';

const PROGRAM = 'imgtool';
export const SUMMARY =
  'Pull, modify, run, commit and push container images on btrfs; copy and mirror them between registries.';

/** An argument in a usage line: `IMAGE`, `[FILTER]`, `IMAGE...`. */
export function argumentTerm({ name, optional, variadic }: ArgumentSpec): string {
  const term = variadic === true ? `${name}...` : name;
  return optional === true ? `[${term}]` : term;
}

/** `imgtool pull [OPTIONS] REF`. */
export function usageLine(command: CommandSpec): string {
  const options = command.options.length > 0 ? ['[OPTIONS]'] : [];
  return [PROGRAM, ...command.path, ...options, ...command.arguments.map(argumentTerm)].join(' ');
}

/** Description of an option in help and docs. */
export function optionText(option: OptionSpec): string {
  const remarks = [
    ...(option.choices === undefined ? [] : [`one of ${option.choices.join(', ')}`]),
    ...(option.repeat === true ? ['may be repeated'] : []),
    ...(option.aliases === undefined ? [] : [`also ${option.aliases.map((name) => `--${name}`).join(', ')}`]),
    ...(option.default === undefined || option.default === false ? [] : [`default ${String(option.default)}`]),
  ];
  return remarks.length === 0 ? option.summary : `${option.summary} (${remarks.join('; ')})`;
}

/** Help of the program; `width` in columns. */
export function programHelp(commands: readonly CommandSpec[], width: number): string {
  const groups = COMMAND_GROUPS.flatMap((group) => {
    const rows = commands.filter((command) => command.group === group).map(commandRow);
    return rows.length === 0 ? [] : ['', `${group}:`, ...twoColumns(rows, width, 26)];
  });
  return [
    `Usage: ${PROGRAM} [OPTIONS] COMMAND`,
    '',
    SUMMARY,
    ...groups,
    '',
    'Global options, before or after the command:',
    ...globalRows(width),
    '',
    'Each option has a variable (IMGTOOL_ROOT, IMGTOOL_PULL_POLICY) and a key in the config file: see "imgtool config show".',
    '',
    'Exit codes:',
    ...twoColumns(
      [...EXIT_MEANING].map(([code, meaning]) => [String(code), meaning]),
      width,
      6,
    ),
    '',
    'Examples:',
    '  imgtool pull alpine:3.20                 pull an image into the store',
    '  imgtool create --name box alpine:3.20    create a container from it',
    '  ls "$(imgtool mount box)"                list its files',
    '',
    `Run "${PROGRAM} COMMAND --help" for the options and examples of a command.`,
    '',
  ].join('\n');
}

/** Help of a command group such as `store`. */
export function groupHelp(word: string, commands: readonly CommandSpec[], width: number): string {
  const rows = commands.filter(({ path }) => path.length > 1 && path[0] === word).map(commandRow);
  return [
    `Usage: ${PROGRAM} ${word} COMMAND`,
    '',
    'Commands:',
    ...twoColumns(rows, width, 26),
    '',
    `Run "${PROGRAM} ${word} COMMAND --help" for the options and examples of a command.`,
    '',
  ].join('\n');
}

/** Help of a command; `width` in columns. */
export function commandHelp(command: CommandSpec, width: number): string {
  const section = (title: string, rows: readonly (readonly [string, string])[]): string[] =>
    rows.length === 0 ? [] : ['', title, ...twoColumns(rows, width, 30)];
  const choices = (argument: ArgumentSpec): string =>
    argument.choices === undefined ? argument.summary : `${argument.summary} (one of ${argument.choices.join(', ')})`;
  return [
    `Usage: ${usageLine(command)}`,
    ...(command.aliases.length === 0 ? [] : [`Also:  ${PROGRAM} ${command.aliases.join(', ')}`]),
    '',
    ...wrap(`${capitalise(command.summary)}.`, width),
    ...(command.description ?? '')
      .split('\n')
      .flatMap((paragraph) => (paragraph === '' ? [] : ['', ...wrap(paragraph, width)])),
    ...section(
      'Arguments:',
      command.arguments.map((argument) => [argument.name, choices(argument)]),
    ),
    ...section(
      'Options:',
      command.options.map((option) => [
        flagTerm(option),
        `${optionText(option)} [${variableOf(option, command.path)}]`,
      ]),
    ),
    '',
    'Global options:',
    ...globalRows(width),
    '',
    'Examples:',
    ...command.examples.flatMap(({ command: line, does }) => [`  # ${does}`, `  ${line}`]),
    '',
  ].join('\n');
}

function commandRow(command: CommandSpec): [string, string] {
  const aliases = command.aliases.length === 0 ? '' : ` (also: ${command.aliases.join(', ')})`;
  return [[...command.path, ...command.arguments.map(argumentTerm)].join(' '), command.summary + aliases];
}

function globalRows(width: number): string[] {
  return twoColumns(
    [...GLOBAL_OPTIONS, HELP, VERSION_FLAG].map((option) => [flagTerm(option), optionText(option)] as const),
    width,
    30,
  );
}

function twoColumns(rows: readonly (readonly [string, string])[], width: number, column: number): string[] {
  return rows.flatMap(([term, text]) => {
    const lines = wrap(text, Math.max(width - column, 30));
    const indented = lines.map((line) => ' '.repeat(column) + line);
    if (term.length + 4 > column) return [`  ${term}`, ...indented];
    return [`  ${term}`.padEnd(column) + (lines[0] ?? ''), ...indented.slice(1)];
  });
}

/** Wraps a paragraph at blanks. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return line === '' ? lines : [...lines, line];
}

export function capitalise(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
