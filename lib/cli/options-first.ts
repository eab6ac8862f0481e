import type { CommandSpec } from './command.js';
import type { OptionSpec } from './options/option.js';

/**
 * Puts `--` behind the first argument of a command whose other arguments are those of a program: its options end there.
 * `verbAt`: where the verb is in `argv`; `known`: the options of the command and the global ones. Where only options that the command knows are between that argument and a `--`,
 * they are its own, and the command line is returned as it is.
 */
export function endOptionsAtFirstArgument(
  argv: readonly string[],
  verbAt: number,
  known: readonly OptionSpec[],
): readonly string[] {
  for (let at = verbAt + 1; at < argv.length; at += 1) {
    const arg = argv[at]!;
    if (arg === '--') return argv;
    if (!arg.startsWith('-') || arg === '-') {
      return ownOptionsFollow(argv, at, known) ? argv : [...argv.slice(0, at + 1), '--', ...argv.slice(at + 1)];
    }
    if (takesNext(arg, argv[at + 1], known)) at += 1;
  }
  return argv;
}

/** An option that the command refuses, among those that are its own; undefined: none. */
export function refusedOption(
  argv: readonly string[],
  verbAt: number,
  { optionsFirst, refuses = {} }: Pick<CommandSpec, 'optionsFirst' | 'refuses'>,
  known: readonly OptionSpec[],
): { readonly option: string; readonly hint: string } | undefined {
  for (let at = verbAt + 1; at < argv.length; at += 1) {
    const arg = argv[at]!;
    if (arg === '--') return undefined;
    if (arg === '-' || !arg.startsWith('-')) {
      if (optionsFirst === true) return undefined;
      continue;
    }
    const names = arg.startsWith('--') ? [arg.split('=', 1)[0]!] : lettersOf(arg, known).map((letter) => `-${letter}`);
    const option = names.find((name) => Object.hasOwn(refuses, name));
    if (option !== undefined) return { option, hint: refuses[option]! };
    if (takesNext(arg, argv[at + 1], known)) at += 1;
  }
  return undefined;
}

/** The command line with the letters of each `-aq` among the options of the command apart, where all of them are known. */
export function splitLetters(
  argv: readonly string[],
  verbAt: number,
  { optionsFirst }: Pick<CommandSpec, 'optionsFirst'>,
  known: readonly OptionSpec[],
): readonly string[] {
  const words = argv.slice(0, verbAt);
  for (let at = verbAt; at < argv.length; at += 1) {
    const arg = argv[at]!;
    const isOption = arg.startsWith('-') && arg !== '-';
    if (arg === '--' || (optionsFirst === true && at > verbAt && !isOption)) return [...words, ...argv.slice(at)];
    const letters = arg.startsWith('--') || !isOption ? [] : lettersOf(arg, known);
    const areFlags = letters.every((letter) => known.some(({ short }) => short === letter));
    if (letters.length > 1 && areFlags) {
      words.push(...letters.map((letter) => `-${letter}`));
      words.push(`${words.pop()}${arg.slice(letters.length + 1)}`);
    } else {
      words.push(arg);
    }
    if (isOption && takesNext(arg, argv[at + 1], known)) words.push(...argv.slice((at += 1), at + 1));
  }
  return words;
}

/** Whether only known options, or nothing, are between the word at `at` and a `--`. */
function ownOptionsFollow(argv: readonly string[], at: number, known: readonly OptionSpec[]): boolean {
  for (let index = at + 1; index < argv.length; index += 1) {
    const arg = argv[index]!;
    if (arg === '--') return true;
    if (!isKnown(arg, known)) return false;
    if (takesNext(arg, argv[index + 1], known)) index += 1;
  }
  return false;
}

function isKnown(arg: string, known: readonly OptionSpec[]): boolean {
  if (arg.startsWith('--')) return known.some(({ name }) => arg.split('=', 1)[0] === `--${name}`);
  if (!arg.startsWith('-') || arg === '-') return false;
  return lettersOf(arg, known).every((letter) => known.some(({ short }) => short === letter));
}

function takesNext(arg: string, next: string | undefined, known: readonly OptionSpec[]): boolean {
  if (arg.startsWith('--')) {
    if (arg.includes('=')) return false;
    const option = known.find(({ name }) => arg === `--${name}`);
    return option?.value !== undefined || (arg === '--tls-verify' && /^(true|false)$/.test(next ?? ''));
  }
  const last = lettersOf(arg, known).at(-1);
  return arg.endsWith(last ?? '') && known.some(({ short, value }) => short === last && value !== undefined);
}

/** The letters of `-it`; those behind a letter that takes a value are the value. */
function lettersOf(arg: string, known: readonly OptionSpec[]): string[] {
  const letters: string[] = [];
  for (const letter of arg.slice(1)) {
    letters.push(letter);
    if (known.some(({ short, value }) => short === letter && value !== undefined)) break;
  }
  return letters;
}
