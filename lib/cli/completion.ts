import type { ArgumentSpec, CommandSpec } from './command.js';
import { GLOBAL_OPTIONS } from './global-options.js';
import type { OptionSpec } from './option.js';

/** Shells there are scripts for. */
export type Shell = 'bash' | 'zsh' | 'fish';

/**
 * The completion script of a shell. It asks nothing of the program but the names of images and containers
 * (`imgtool __complete image`), so completing a command or a flag starts no process.
 */
export function completionScript(shell: Shell, commands: readonly CommandSpec[]): string {
  const shown = commands.filter(({ hidden }) => hidden !== true).flatMap(withAliases);
  switch (shell) {
    case 'bash':
      return bashScript(shown);
    case 'zsh':
      return `#compdef imgtool\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(shown)}`;
    case 'fish':
      return fishScript(shown);
  }
}

function withAliases(command: CommandSpec): CommandSpec[] {
  return [
    command,
    ...(command.aliases ?? []).map((alias) => ({ ...command, path: [...command.path.slice(0, -1), alias] })),
  ];
}

function flagsOf(options: readonly OptionSpec[]): string[] {
  return options.flatMap(({ name, short }) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]);
}

function wordsOf(commands: readonly CommandSpec[], parent: string): string[] {
  const words = commands.flatMap(({ path }) =>
    parent === '' ? [path[0]!] : path.length > 1 && path[0] === parent ? [path[1]!] : [],
  );
  return [...new Set(words)];
}

function bashScript(commands: readonly CommandSpec[]): string {
  const parents = [...new Set(commands.filter(({ path }) => path.length > 1).map(({ path }) => path[0]!))];
  const valueOptions = [...GLOBAL_OPTIONS, ...commands.flatMap(({ options }) => options)].filter(
    ({ value }) => value !== undefined,
  );
  const valueFlags = [...new Set(flagsOf(valueOptions))];
  const choices = new Map(
    valueOptions.flatMap((option) => (option.choices === undefined ? [] : [[option.name, option.choices]])),
  );
  return [
    '# Completion of imgtool; made by "imgtool completion".',
    '_imgtool() {',
    '  local cur prev word i skip=0 first="" second="" flags="" args=""',
    '  cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
    '  COMPREPLY=()',
    '  case "$prev" in',
    ...[...choices].map(
      ([name, values]) => `    --${name}) COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$cur")); return ;;`,
    ),
    '    --root|--cert-dir) COMPREPLY=($(compgen -d -- "$cur")); return ;;',
    '    --authfile) COMPREPLY=($(compgen -f -- "$cur")); return ;;',
    `    ${valueFlags.join('|')}) return ;;`,
    '  esac',
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    '    word="${COMP_WORDS[i]}"',
    '    if ((skip)); then skip=0; continue; fi',
    '    case "$word" in',
    `      ${valueFlags.join('|')}) skip=1 ;;`,
    '      -*) ;;',
    '      *) if [[ -z $first ]]; then first="$word"; elif [[ -z $second ]]; then second="$word"; fi ;;',
    '    esac',
    '  done',
    `  flags="${[...flagsOf(GLOBAL_OPTIONS), '--help', '--version'].join(' ')}"`,
    '  case "$first $second" in',
    `    " ") args="${wordsOf(commands, '').join(' ')}" ;;`,
    ...parents.map((parent) => `    "${parent} ") args="${wordsOf(commands, parent).join(' ')}" ;;`),
    ...commands.map((command) => {
      const pattern = command.path.length > 1 ? `"${command.path.join(' ')}"` : `"${command.path[0]} "*`;
      const words = bashArgument(command.arguments[0]);
      return `    ${pattern}) flags+=" ${flagsOf(command.options).join(' ')}"; args="${words}" ;;`;
    }),
    '  esac',
    '  case "$args" in',
    '    @image|@container) args="$(imgtool __complete "${args#@}" 2>/dev/null)" ;;',
    '    @file) COMPREPLY=($(compgen -f -- "$cur")); return ;;',
    '    @directory) COMPREPLY=($(compgen -d -- "$cur")); return ;;',
    '  esac',
    '  if [[ $cur == -* ]]; then args="$flags"; fi',
    '  COMPREPLY=($(compgen -W "$args" -- "$cur"))',
    '  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi',
    '}',
    'complete -F _imgtool imgtool',
    '',
  ].join('\n');
}

function bashArgument(argument: ArgumentSpec | undefined): string {
  if (argument === undefined) return '';
  return argument.choices?.join(' ') ?? (argument.completes === undefined ? '' : `@${argument.completes}`);
}

function fishScript(commands: readonly CommandSpec[]): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const optionLine = (option: OptionSpec, condition: string): string =>
    [
      `complete -c imgtool${condition} -l ${option.name}`,
      ...(option.short === undefined ? [] : [`-s ${option.short}`]),
      ...(option.value === undefined
        ? []
        : [option.choices === undefined ? '-r' : `-x -a ${quote(option.choices.join(' '))}`]),
      `-d ${quote(option.summary)}`,
    ].join(' ');
  const lines = ['# Completion of imgtool; made by "imgtool completion".', 'complete -c imgtool -f'];
  for (const option of GLOBAL_OPTIONS) lines.push(optionLine(option, ''));
  for (const command of commands) {
    const [first, second] = command.path as [string, string?];
    const when =
      second === undefined
        ? '__fish_use_subcommand'
        : `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${wordsOf(commands, first).join(' ')}`;
    lines.push(`complete -c imgtool -n ${quote(when)} -a ${second ?? first} -d ${quote(command.summary)}`);
    const seen = command.path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const argument = command.arguments[0];
    if (argument?.choices !== undefined) {
      lines.push(`complete -c imgtool -n ${quote(seen)} -a ${quote(argument.choices.join(' '))}`);
    } else if (argument?.completes === 'image' || argument?.completes === 'container') {
      lines.push(`complete -c imgtool -n ${quote(seen)} -a '(imgtool __complete ${argument.completes} 2>/dev/null)'`);
    } else if (argument?.completes !== undefined) {
      lines.push(`complete -c imgtool -n ${quote(seen)} -F`);
    }
    for (const option of command.options) lines.push(optionLine(option, ` -n ${quote(seen)}`));
  }
  for (const parent of new Set(commands.filter(({ path }) => path.length > 1).map(({ path }) => path[0]!))) {
    lines.push(`complete -c imgtool -n __fish_use_subcommand -a ${parent}`);
  }
  return `${lines.join('\n')}\n`;
}
