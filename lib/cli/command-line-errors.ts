import { closest } from '../util/index.js';
import { BadCommandLineError } from './bad-command-line.js';
import type { CommandSpec } from './command.js';
import { allCommands, COMMANDS } from './commands/index.js';
import { hintForPeerWord } from './peer-words.js';
import { knownOptions, nextWord, type LineProblem } from './read-line.js';

/** Explains a command line that `parseArguments` cannot parse and suggests a correction. */
export async function badCommandLineError(
  argv: readonly string[],
  line: {
    readonly word: string | undefined;
    /** True when several command names begin with `word`. */
    readonly isGroup: boolean;
    readonly command: CommandSpec | undefined;
    readonly args: readonly string[];
    readonly problem: LineProblem | undefined;
  },
): Promise<BadCommandLineError> {
  const { word = 'imgtool', isGroup, command, args, problem } = line;
  // A word after an unknown option may be its value, and a secret.
  if (problem?.isBeforeCommand === true) return beforeCommandError(argv, problem);
  if (command === undefined) {
    if (!isGroup) return unknownCommandError(word);
    if (args[0] !== undefined) return unknownCommandError(`${word} ${args[0]}`);
  }
  return problemError(problem ?? { message: `"${word}" needs a command` }, command?.path.join(' ') ?? word, command);
}

function problemError(
  { message, unknown, hint }: LineProblem,
  what: string,
  command?: CommandSpec,
): BadCommandLineError {
  const flags = [...knownOptions(command?.options).keys()].filter((flag) => flag.startsWith('--'));
  const near =
    unknown?.startsWith('--') === true
      ? closest(
          unknown.slice(2),
          flags.map((flag) => flag.slice(2)),
        )
      : undefined;
  return new BadCommandLineError(message, {
    what,
    hint:
      hint ??
      (near === undefined
        ? `see "imgtool${what === 'imgtool' ? '' : ` ${what}`} --help"`
        : `did you mean ${JSON.stringify(`--${near}`)}?`),
  });
}

/** A non-global option before the command: perhaps it belongs to the command. */
async function beforeCommandError(argv: readonly string[], problem: LineProblem): Promise<BadCommandLineError> {
  const commands = await allCommands();
  const at = nextWord(argv, 0, knownOptions(commands.flatMap(({ options }) => options)));
  const words = argv.slice(at).filter((arg) => !arg.startsWith('-'));
  const command = commands.find(
    ({ path, aliases }) => path.every((word, index) => words[index] === word) || aliases.includes(words[0] ?? ''),
  );
  const what = command?.path.join(' ') ?? 'imgtool';
  const isOwn = problem.unknown !== undefined && knownOptions(command?.options).has(problem.unknown);
  return problemError(
    isOwn ? { ...problem, hint: `write it after the command: imgtool ${what} ${problem.unknown} …` } : problem,
    what,
    command,
  );
}

function unknownCommandError(words: string): BadCommandLineError {
  const near = closest(
    words,
    COMMANDS.flatMap(({ path, aliases }) => [path.join(' '), ...aliases]),
  );
  const hint =
    hintForPeerWord(words) ?? (near === undefined ? 'see "imgtool --help"' : `did you mean ${JSON.stringify(near)}?`);
  return new BadCommandLineError(`unknown command '${words}'`, { what: words, hint });
}
