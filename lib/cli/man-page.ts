import { COMMAND_GROUPS, type CommandSpec } from './command.js';
import { EXIT_MEANING } from './exit-codes.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { argumentTerm, capitalise, optionText, SUMMARY } from './help.js';
import { configPathOf, variableOf, type OptionSpec } from './options/option.js';
import { VERSION } from './version.js';

/** A manual page in roff's man macros, man(7). */
interface ManPage {
  /** `imgtool-pull.1` */
  readonly file: string;
  readonly text: string;
}

const DESCRIPTION =
  `${SUMMARY}\n` +
  'Each layer of an image is a btrfs subvolume, and a container is a writable snapshot. Without btrfs, imgtool makes a pool of ' +
  'its own in a file. The store needs root; commands that only talk to registries do not.\n' +
  'Results go to standard output; progress, notes and errors go to standard error. With --json a command prints one JSON ' +
  'document. An error is one line, often followed by a hint.';

/** The manual: imgtool(1) and one page for each command. */
export function manPages(commands: readonly CommandSpec[]): ManPage[] {
  return [programPage(commands), ...commands.map(commandPage)];
}

/** Name of a command's page: `imgtool-store-gc`. */
function manPageName({ path }: Pick<CommandSpec, 'path'>): string {
  return ['imgtool', ...path].join('-');
}

function programPage(commands: readonly CommandSpec[]): ManPage {
  return page('imgtool', SUMMARY, [
    ...['.SH SYNOPSIS', '.B imgtool', `[${italic('OPTIONS')}] ${italic('COMMAND')} [${italic('ARGUMENTS')}]`],
    ...['.SH DESCRIPTION', ...paragraphs(DESCRIPTION)],
    '.SH COMMANDS',
    ...COMMAND_GROUPS.flatMap((group) => {
      const members = commands.filter((command) => command.group === group);
      if (members.length === 0) return [];
      const items = members.flatMap((command) => item(pageLink(manPageName(command)), sentence(command.summary)));
      return [`.SS ${roff(group)}`, ...items];
    }),
    '.SH OPTIONS',
    'They are accepted before and after the command.',
    ...optionItems(GLOBAL_OPTIONS, []),
    ...item(bold('-h, --help'), 'Show help and exit.'),
    ...item(bold('-V, --version'), 'Show the version and exit.'),
    ...exitStatus(),
    '.SH ENVIRONMENT',
    ...paragraphs(
      'Each option has a variable, which is named with it: IMGTOOL_ROOT for --root, IMGTOOL_PULL_POLICY for --policy of pull. A ' +
        'flag overrides its variable, and a variable overrides the files below. NO_COLOR turns colours off.',
    ),
    '.SH FILES',
    ...item(italic('$XDG_CONFIG_HOME/imgtool/config.yaml'), 'Settings of the user; see imgtool-config-show(1).'),
    ...item(italic('/etc/imgtool/config.yaml'), 'Settings of the machine.'),
    ...item(italic('/var/lib/imgtool'), 'The store, unless --root names another directory.'),
    ...seeAlso(['podman(1)', 'skopeo(1)', 'btrfs(8)']),
  ]);
}

function commandPage(command: CommandSpec): ManPage {
  const { path, aliases, summary, description = '', arguments: args, options, examples } = command;
  const words = [
    ...(options.length > 0 ? [`[${italic('OPTIONS')}]`] : []),
    ...args.map((arg) => italic(argumentTerm(arg))),
  ];
  return page(manPageName(command), summary, [
    ...['.SH SYNOPSIS', `.B imgtool ${roff(path.join(' '))}`, ...words],
    ...aliases.flatMap((alias) => ['.br', `.B imgtool ${roff(alias)}`, ...words]),
    ...['.SH DESCRIPTION', ...paragraphs([sentence(summary), ...(description === '' ? [] : [description])].join('\n'))],
    ...(args.length === 0 ? [] : ['.SH ARGUMENTS']),
    ...args.flatMap((arg) =>
      item(
        italic(arg.name),
        sentence(arg.choices === undefined ? arg.summary : `${arg.summary}: ${arg.choices.join(', ')}`),
      ),
    ),
    ...(options.length === 0 ? [] : ['.SH OPTIONS', ...optionItems(options, path)]),
    '.PP',
    `The options of all commands, exit codes and files are in ${pageLink('imgtool')}.`,
    ...(examples.length === 0 ? [] : ['.SH EXAMPLES']),
    ...examples.flatMap(({ command: line, does }, index) => [
      ...[...(index === 0 ? [] : ['.PP']), `${roff(capitalise(does))}:`],
      ...['.PP', '.RS 4', '.nf', line.split('\n').map(roff).join('\n'), '.fi', '.RE'],
    ]),
    ...seeAlso(['imgtool(1)']),
  ]);
}

function page(name: string, summary: string, body: readonly string[]): ManPage {
  const lines = [
    `.\\" Generated from the command table of imgtool ${VERSION}.`,
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 "" "imgtool ${VERSION}" "User Commands"`,
    ...['.SH NAME', `${roff(name)} \\- ${roff(summary.replace(/\.$/, ''))}`],
    ...body,
  ];
  return { file: `${name}.1`, text: `${lines.join('\n')}\n` };
}

function optionItems(options: readonly OptionSpec[], path: readonly string[]): string[] {
  return options.flatMap((option) => {
    const { name, short, value, words } = option;
    const choice = words === undefined ? '' : `[=${words.map(italic).join('|')}]`;
    const flag = `${short === undefined ? '' : `${bold(`-${short}`)}, `}${bold(`--${name}`)}${choice}`;
    const term =
      value === undefined ? (option.default === true ? `${flag}${bold('=false')}` : flag) : `${flag} ${italic(value)}`;
    return [
      ...item(term, sentence(optionText(option))),
      '.br',
      `Variable ${roff(variableOf(option, path))}, key ${roff(configPathOf(option, path).join('.'))}.`,
    ];
  });
}

function exitStatus(): string[] {
  return [
    '.SH EXIT STATUS',
    ...[...EXIT_MEANING].flatMap(([code, meaning]) => item(bold(String(code)), sentence(meaning))),
  ];
}

function seeAlso(pages: readonly string[]): string[] {
  return [
    '.SH SEE ALSO',
    pages.map((name) => pageLink(name.replace(/\(.*/, ''), name.replace(/.*\(|\)/g, ''))).join(',\n'),
  ];
}

/** `term` is already roff. */
function item(term: string, text: string): string[] {
  return ['.TP', term, roff(text)];
}

function paragraphs(text: string): string[] {
  return text.split('\n').flatMap((paragraph, index) => [...(index === 0 ? [] : ['.PP']), roff(paragraph)]);
}

function pageLink(name: string, section = '1'): string {
  return `${bold(name)}(${section})`;
}

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

function sentence(text: string): string {
  return /[.!?\]]$/.test(text) ? capitalise(text) : `${capitalise(text)}.`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '…': '...',
};

/** Escapes text for roff, so that nothing in it is an escape sequence or a control line. */
function roff(text: string): string {
  return text.replace(/[\\\-'`^~…]/g, (character) => ESCAPES[character]!).replace(/^\./gm, '\\&.');
}
