import { namesOf, type CommandEntry, type CommandSpec } from './command.js';
import { allCommands, COMMANDS } from './commands/index.js';
import { knownOptions, nextWord, readLine, type LineProblem } from './read-line.js';
import { VERSION } from './version.js';

/** The request of a command line. */
type Invocation =
  | { readonly kind: 'print'; readonly text: string }
  | {
      readonly kind: 'command';
      readonly command: CommandSpec;
      readonly args: readonly string[];
      /** Values of the options given as flags, by option name. */
      readonly flags: ReadonlyMap<string, readonly string[]>;
    };

/** Parses a command line (without node and script). `width`: columns for help. Throws BadCommandLineError. */
export async function parseArguments(given: readonly string[], width: number): Promise<Invocation> {
  const argv = withHelpFlag(given);
  const verb = findVerb(argv);
  const command = await verb.entry?.load();
  const { args, flags, problem } = readLine(argv, verb.at, command);
  if (flags.has('version')) return { kind: 'print', text: `${VERSION}\n` };
  if (flags.has('help') || (verb.word === undefined && problem === undefined)) {
    const text = await helpText(verb, args, { command, width });
    if (text !== undefined) return { kind: 'print', text };
  }
  const wrong = problem ?? (command === undefined ? undefined : argumentsProblem(command, args));
  if (command !== undefined && wrong === undefined) return { kind: 'command', command, args, flags };
  const { badCommandLineError } = await import('./command-line-errors.js');
  throw await badCommandLineError(argv, { ...verb, command, args, problem: wrong });
}

/** Turns `help COMMAND` into `COMMAND --help`. */
function withHelpFlag(argv: readonly string[]): readonly string[] {
  const at = nextWord(argv, 0, knownOptions());
  return argv[at] === 'help' ? argv.with(at, '--help') : argv;
}

/** The words of a command line that name its command. */
interface Verb {
  /** The first of them; undefined when there are only options. */
  readonly word: string | undefined;
  /** True when `word` is the first word of several commands (`store`) and not a command itself. */
  readonly isGroup: boolean;
  /** Their indexes. */
  readonly at: readonly number[];
  /** Undefined for an unknown command. */
  readonly entry: CommandEntry | undefined;
}

function findVerb(argv: readonly string[]): Verb {
  const known = knownOptions();
  const first = nextWord(argv, 0, known);
  const second = nextWord(argv, first + 1, known);
  const word = argv[first];
  const group = COMMANDS.filter(({ path }) => path.length > 1 && path[0] === word);
  const member = group.find(({ path }) => path[1] === argv[second]);
  if (member !== undefined) return { word, isGroup: false, at: [first, second], entry: member };
  const entry = COMMANDS.find((one) => namesOf(one).some((name) => name.length === 1 && name[0] === word));
  return { word, isGroup: group.length > 0 && entry === undefined, at: [first], entry };
}

/** The text of `--help`; undefined for an unknown command. */
async function helpText(
  { word, isGroup }: Verb,
  args: readonly string[],
  { command, width }: { readonly command: CommandSpec | undefined; readonly width: number },
): Promise<string | undefined> {
  const { commandHelp, groupHelp, programHelp } = await import('./help.js');
  if (command !== undefined) return commandHelp(command, width);
  if (word === undefined) return programHelp(await allCommands(), width);
  return isGroup && args.length === 0 ? groupHelp(word, await allCommands(), width) : undefined;
}

function argumentsProblem({ path, arguments: specs }: CommandSpec, args: readonly string[]): LineProblem | undefined {
  const missing = specs.slice(args.length).find(({ optional }) => optional !== true);
  if (missing !== undefined) return { message: `missing required argument '${missing.name}'` };
  if (args.length <= specs.length || specs.at(-1)?.variadic === true) return undefined;
  const expected = `${specs.length} argument${specs.length === 1 ? '' : 's'}`;
  return { message: `too many arguments for '${path.at(-1)}'. Expected ${expected} but got ${args.length}.` };
}
