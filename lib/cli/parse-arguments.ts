import { Argument, Command, CommanderError, Option } from 'commander';
import { UsageError } from '../errors.js';
import { closest } from '../util/index.js';
import type { CommandSpec } from './command.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { commandHelp, groupHelp, programHelp } from './help.js';
import { spellingsOf, type OptionSpec } from './options/option.js';
import { endOptionsAtFirstArgument, refusedOption, splitLetters } from './options-first.js';
import { hintForPeerWord } from './peer-words.js';
import { VERSION } from './version.js';

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: 'print'; readonly text: string }
  | {
      readonly kind: 'command';
      readonly command: CommandSpec;
      readonly args: readonly string[];
      /** Texts of the options given as flags, by name. */
      readonly flags: ReadonlyMap<string, readonly string[]>;
    };

/** A command line that makes no sense; `what` is how far it could be understood (`pull`). */
export class BadCommandLineError extends UsageError {
  readonly what: string;
  constructor(message: string, options: { readonly what: string; readonly hint: string | undefined }) {
    super(message, { hint: options.hint });
    this.what = options.what;
  }
}

/** Parses `argv` (without node and script). `width`: columns for help. Throws BadCommandLineError. */
export function parseArguments(argv: readonly string[], commands: readonly CommandSpec[], width: number): Invocation {
  const words = withSingleLetters(asFlags(argv), commands);
  checkRefused(words, commands);
  const { rest, booleans } = takeBooleanValues(withOptionsFirst(words, commands), commands);
  const printed: string[] = [];
  let found: { command: CommandSpec; args: string[]; options: Record<string, unknown> } | undefined;
  const program = prepare(new Command('imgtool'), () => programHelp(commands, width), printed)
    .version(VERSION, '-V, --version')
    .helpOption('-h, --help');
  for (const option of GLOBAL_OPTIONS) program.addOption(commanderOption(option));
  for (const spec of commands) {
    const parent = parentOf(program, spec, () => groupHelp(spec.path[0]!, commands, width), printed);
    const command = prepare(
      parent.command(spec.path.at(-1)!, { hidden: spec.hidden === true }),
      () => commandHelp(spec, width),
      printed,
    );
    if (spec.aliases !== undefined) command.aliases(spec.aliases);
    // The others are known by name only: to describe all of them would be half of a start's time.
    if (!isNamed(spec, rest)) continue;
    for (const option of spec.options.flatMap(spellingsOf)) command.addOption(commanderOption(option));
    for (const { name, optional, variadic } of spec.arguments) {
      const dots = variadic === true ? '...' : '';
      command.addArgument(new Argument(optional === true ? `[${name}${dots}]` : `<${name}${dots}>`));
    }
    command.action(() => {
      found = { command: spec, args: command.args, options: command.opts() };
    });
  }
  try {
    program.parse(rest, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.help' && rest[verbAt(rest)] === undefined)
      return { kind: 'print', text: programHelp(commands, width) };
    if (error.exitCode !== 0) throw commandLineError(error, rest, commands);
    const unknown = unknownWord(rest, commands);
    if (unknown !== undefined) throw unknownCommandError(unknown, commands);
    return { kind: 'print', text: printed.join('') };
  }
  if (found === undefined) throw new Error('the command line called no command');
  const { command, args, options } = found;
  const flags = new Map<string, readonly string[]>();
  const given: Record<string, unknown> = { ...program.opts(), ...options };
  for (const spec of [...GLOBAL_OPTIONS, ...command.options]) {
    for (const { name } of spellingsOf(spec)) {
      const value = given[camelCase(name)];
      if (value === true) flags.set(spec.name, ['true']);
      else if (Array.isArray(value)) flags.set(spec.name, [...(flags.get(spec.name) ?? []), ...(value as string[])]);
      const boolean = booleans.get(name);
      if (boolean !== undefined) flags.set(spec.name, [boolean]);
    }
  }
  return { kind: 'command', command, args, flags };
}

/** Ends the options of a command that runs a program where the program's own begin. */
function withOptionsFirst(argv: readonly string[], commands: readonly CommandSpec[]): readonly string[] {
  const at = verbAt(argv);
  const command = commands.find(({ path, optionsFirst }) => optionsFirst === true && path[0] === argv[at]);
  if (command === undefined) return argv;
  return endOptionsAtFirstArgument(argv, at, knownOptions(command));
}

/** Refuses an option that a peer has and the command has not, with what to do instead. Throws BadCommandLineError. */
function checkRefused(argv: readonly string[], commands: readonly CommandSpec[]): void {
  const at = verbAt(argv);
  const command = commandAt(argv, at, commands);
  if (command?.refuses === undefined) return;
  const refused = refusedOption(argv, at + command.path.length - 1, command, knownOptions(command));
  if (refused === undefined) return;
  const what = command.path.join(' ');
  throw new BadCommandLineError(`there is no option ${refused.option}`, { what, hint: refused.hint });
}

/** `-aq` as `-a -q`: commander knows no letters of global and own options in one word. What is no such word is left as it is. */
function withSingleLetters(argv: readonly string[], commands: readonly CommandSpec[]): readonly string[] {
  const at = verbAt(argv);
  const command = commandAt(argv, at, commands);
  return command === undefined ? argv : splitLetters(argv, at, command, knownOptions(command));
}

/** The command whose verb is at `at`. */
function commandAt(argv: readonly string[], at: number, commands: readonly CommandSpec[]): CommandSpec | undefined {
  return commands.find(
    ({ path, aliases = [] }) =>
      path.every((word, index) => argv[at + index] === word) || aliases.includes(argv[at] ?? ''),
  );
}

function knownOptions({ options }: CommandSpec): readonly OptionSpec[] {
  return [...GLOBAL_OPTIONS, ...options].flatMap(spellingsOf);
}

/** `help COMMAND` and `-v`, as other tools take them, in terms of `--help` and `--version`. */
function asFlags(argv: readonly string[]): readonly string[] {
  const at = verbAt(argv);
  const before = argv.slice(0, at).map((arg) => (arg === '-v' ? '-V' : arg));
  const [verb, ...rest] = argv.slice(at);
  if (verb === 'help') return [...before, ...rest, '--help'];
  return verb === undefined ? before : [...before, verb, ...rest];
}

/** The words of a command line that name no command, where help was asked for; undefined: they name one. */
function unknownWord(argv: readonly string[], commands: readonly CommandSpec[]): string | undefined {
  const [first, second] = argv.slice(verbAt(argv)).filter((arg) => !arg.startsWith('-'));
  if (first === undefined) return undefined;
  const named = commands.filter(({ path, aliases }) => path[0] === first || aliases?.includes(first) === true);
  if (named.length === 0) return first;
  const isGroup = named.every(({ path }) => path.length > 1);
  if (!isGroup || second === undefined || named.some(({ path }) => path[1] === second)) return undefined;
  return `${first} ${second}`;
}

function unknownCommandError(words: string, commands: readonly CommandSpec[]): BadCommandLineError {
  const visible = commands.filter(({ hidden }) => hidden !== true);
  const near = closest(words, visible.map(({ path, aliases = [] }) => [path.join(' '), ...aliases]).flat());
  const peer = hintForPeerWord(words);
  const hint = peer ?? (near === undefined ? 'see "imgtool --help"' : `did you mean ${JSON.stringify(near)}?`);
  return new BadCommandLineError(`unknown command '${words}'`, { what: words, hint });
}

function isNamed({ path, aliases = [] }: CommandSpec, argv: readonly string[]): boolean {
  return path.every((word) => argv.includes(word)) || aliases.some((word) => argv.includes(word));
}

function prepare(command: Command, help: () => string, printed: string[]): Command {
  return command
    .exitOverride()
    .configureHelp({ formatHelp: help })
    .configureOutput({ writeOut: (text) => void printed.push(text), writeErr: () => undefined })
    .helpCommand(false);
}

function parentOf(program: Command, spec: CommandSpec, help: () => string, printed: string[]): Command {
  if (spec.path.length === 1) return program;
  const word = spec.path[0]!;
  const present = program.commands.find((command) => command.name() === word);
  return present ?? prepare(program.command(word), help, printed);
}

function commanderOption(spec: OptionSpec): Option {
  const flags = `${spec.short === undefined ? '' : `-${spec.short}, `}--${spec.name}`;
  if (spec.value === undefined) {
    const option = new Option(flags);
    // For commander `--no-cache` would be the opposite of `--cache`; here it is an option like others.
    option.negate = false;
    option.attributeName = () => camelCase(spec.name);
    return option;
  }
  return new Option(`${flags} <value>`).argParser((text: string, before: string[] | undefined) => [
    ...(before ?? []),
    text,
  ]);
}

/** As skopeo and podman are often given them: `--dest-tls-verify false`. */
const SPACED = /^(?:src-|dest-)?tls-verify$/;

/** `--json=false`, `--tls-verify=false` and `--tls-verify false`, which commander does not know for options without a value. */
function takeBooleanValues(
  argv: readonly string[],
  commands: readonly CommandSpec[],
): { rest: string[]; booleans: Map<string, string> } {
  const names = new Set(
    [...GLOBAL_OPTIONS, ...commands.flatMap(({ options }) => options)]
      .filter(({ value }) => value === undefined)
      .flatMap(spellingsOf)
      .map(({ name }) => name),
  );
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const rest: string[] = [];
  const booleans = new Map<string, string>();
  for (let index = 0; index < end; index += 1) {
    const arg = argv[index]!;
    const match = /^--([a-z-]+)(?:=(.*))?$/.exec(arg);
    const name = match?.[1];
    if (name === undefined || !names.has(name)) {
      rest.push(arg);
    } else if (match![2] !== undefined) {
      booleans.set(name, match![2]);
    } else if (SPACED.test(name) && /^(true|false)$/.test(argv[index + 1] ?? '')) {
      index += 1;
      booleans.set(name, argv[index]!);
    } else if (name.startsWith('no-')) {
      // commander would take it for the opposite of another option.
      booleans.set(name, 'true');
    } else {
      booleans.delete(name);
      rest.push(arg);
    }
  }
  return { rest: [...rest, ...argv.slice(end)], booleans };
}

function commandLineError(
  error: CommanderError,
  argv: readonly string[],
  commands: readonly CommandSpec[],
): BadCommandLineError {
  const unknown = error.code === 'commander.unknownCommand' ? unknownWord(argv, commands) : undefined;
  if (unknown !== undefined) return unknownCommandError(unknown, commands);
  const [first, ...others] = error.message
    .replace(/^error: /, '')
    .replace(/(--[\w-]+)=[^']*/, '$1')
    .split('\n');
  const suggestion = /\(Did you mean (?:one of )?(.*)\?\)/.exec(others.join(' '))?.[1];
  const words = argv.slice(verbAt(argv, commands)).filter((arg) => !arg.startsWith('-'));
  const command = commands.find(
    ({ path, aliases }) =>
      path.every((word, index) => words[index] === word) || (aliases?.includes(words[0] ?? '') ?? false),
  );
  const known =
    command?.path.join(' ') ?? commands.find(({ path }) => path.length > 1 && path[0] === words[0])?.path[0];
  const misplaced = error.code === 'commander.unknownOption' ? optionBefore(command, argv, commands) : undefined;
  const message = error.code === 'commander.help' ? `"${known ?? ''}" needs a command` : first!;
  return new BadCommandLineError(message, {
    // A word that is no command may be the value of an option that is not known.
    what: known ?? (error.code === 'commander.unknownCommand' && words[0] ? words[0] : 'imgtool'),
    hint:
      misplaced !== undefined
        ? `write it after the command: imgtool ${known} ${misplaced} …`
        : suggestion === undefined
          ? `see "imgtool${known === undefined ? '' : ` ${known}`} --help"`
          : `did you mean ${suggestion
              .split(', ')
              .map((word) => JSON.stringify(word))
              .join(' or ')}?`,
  });
}

/** The flag of the command that was given before it; undefined: there is none. */
function optionBefore(
  command: CommandSpec | undefined,
  argv: readonly string[],
  commands: readonly CommandSpec[],
): string | undefined {
  const own = new Set(command?.options.map(({ name }) => `--${name}`));
  return argv
    .slice(0, verbAt(argv, commands))
    .map((arg) => arg.split('=', 1)[0]!)
    .find((flag) => own.has(flag));
}

/** Where the verb is: behind global options and their values, and behind those of `commands`, which are wrong there. */
function verbAt(argv: readonly string[], commands: readonly CommandSpec[] = []): number {
  const options = [...GLOBAL_OPTIONS, ...commands.flatMap((command) => command.options)];
  let at = 0;
  while (argv[at]?.startsWith('-') === true) {
    const flag = argv[at]!;
    const takesValue = options.some(
      ({ name, short, value }) => value !== undefined && (flag === `--${name}` || flag === `-${short}`),
    );
    at += takesValue ? 2 : 1;
  }
  return at;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
