import type { CommandTable } from './command.js';
import { GLOBAL_OPTIONS, HELP, VERSION_FLAG } from './options/global.js';
import { spellingsOf, type OptionSpec } from './options/option.js';

/** Options by flag: `--quiet`, `-q`. */
export type KnownOptions = ReadonlyMap<string, OptionSpec>;

/** The fault in a command line. */
export interface LineProblem {
  readonly message: string;
  /** The unknown flag. */
  readonly unknown?: string;
  readonly isBeforeCommand?: boolean;
  readonly hint?: string | undefined;
}

/** The words of a command line. */
interface Line {
  readonly args: readonly string[];
  /** Option values by name; an option without a value counts as `true` unless stated otherwise. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  /** The first problem. */
  readonly problem: LineProblem | undefined;
}

/** Options that skopeo and podman users give a separate value: `--dest-tls-verify false`. */
const SPACED = /^(?:src-|dest-)?tls-verify$/;

/** The global options and `others`. */
export function knownOptions(others: readonly OptionSpec[] = []): KnownOptions {
  const known = new Map<string, OptionSpec>();
  for (const option of [...GLOBAL_OPTIONS, HELP, VERSION_FLAG, ...others]) {
    for (const { name } of spellingsOf(option)) known.set(`--${name}`, option);
    if (option.short !== undefined) known.set(`-${option.short}`, option);
  }
  return known;
}

/** Index of the first word from `from` on that is neither an option nor an option's value. */
export function nextWord(argv: readonly string[], from: number, known: KnownOptions): number {
  let at = from;
  while (isOption(argv[at] ?? '')) at += readOption(argv, at, known).words;
  return at;
}

/**
 * Reads arguments and options. `verb`: the indexes of the words that name the command; only global options come before
 * them.
 */
export function readLine(argv: readonly string[], verb: readonly number[], command?: CommandTable): Line {
  // Other tools accept -v before the command.
  const global = new Map(knownOptions()).set('-v', VERSION_FLAG);
  const all = knownOptions(command?.options);
  const args: string[] = [];
  const flags = new Map<string, string[]>();
  let problem: LineProblem | undefined;
  let hasEnded = false;
  for (let at = 0; at < argv.length;) {
    const arg = argv[at]!;
    if (verb.includes(at)) {
      at += 1;
    } else if (hasEnded || !isOption(arg)) {
      args.push(arg);
      at += 1;
      hasEnded ||= command?.optionsFirst === true && args.length === 1 && !ownOptionsFollow(argv, at, all);
    } else if (arg === '--') {
      hasEnded = true;
      at += 1;
    } else {
      const isAfterVerb = at > (verb[0] ?? argv.length);
      const read = readOption(argv, at, isAfterVerb ? all : global);
      for (const [option, text] of read.given)
        flags.set(option.name, [...(option.value === undefined ? [] : (flags.get(option.name) ?? [])), text]);
      if (read.problem !== undefined)
        problem ??= isAfterVerb ? refusal(read.problem, command) : { ...read.problem, isBeforeCommand: true };
      at += read.words;
    }
  }
  return { args, flags, problem };
}

/** The problem, with the alternative when the command refuses another tool's option. */
function refusal(problem: LineProblem, { refuses = {} }: Partial<CommandTable> = {}): LineProblem {
  const { unknown } = problem;
  if (unknown === undefined || !Object.hasOwn(refuses, unknown)) return problem;
  return { message: `there is no option ${unknown}`, hint: refuses[unknown] };
}

/** Reports whether only known options, or nothing, come between the word at `from` and a `--`; they then belong to the command. */
function ownOptionsFollow(argv: readonly string[], from: number, known: KnownOptions): boolean {
  let at = from;
  while (at < argv.length && argv[at] !== '--') {
    if (!isOption(argv[at]!)) return false;
    const { words, problem } = readOption(argv, at, known);
    if (problem !== undefined) return false;
    at += words;
  }
  return at < argv.length;
}

/** The options in one word that begins with a dash; `words`: the number of words read, values included. */
export interface ReadOptions {
  readonly given: readonly (readonly [OptionSpec, string])[];
  readonly words: 1 | 2;
  /** An option whose value is missing. */
  readonly lacking?: OptionSpec;
  readonly problem?: LineProblem;
}

/** Reads the option at `at`; `isOption` must hold for it. */
export function readOption(argv: readonly string[], at: number, known: KnownOptions): ReadOptions {
  const [arg, following] = [argv[at]!, argv[at + 1]];
  return arg.startsWith('--') ? readLong(arg, following, known) : readLetters(arg, following, known);
}

/** `--name`, `--name=value` or `--name value`. */
function readLong(arg: string, following: string | undefined, known: KnownOptions): ReadOptions {
  const [, flag = arg, text] = /^([^=]*)=(.*)$/s.exec(arg) ?? [];
  const option = known.get(flag);
  if (option === undefined) return unknownOption(flag);
  if (text !== undefined) return { given: [[option, text]], words: 1 };
  if (SPACED.test(option.name) && /^(?:true|false)$/.test(following ?? ''))
    return { given: [[option, following!]], words: 2 };
  return option.value === undefined ? { given: [[option, 'true']], words: 1 } : withValue(option, flag, following);
}

/** `-a`, several letters in one word (`-aq`), and a value in the same word (`-ffile`) or the next. */
function readLetters(arg: string, following: string | undefined, known: KnownOptions): ReadOptions {
  const given: [OptionSpec, string][] = [];
  for (let index = 1; index < arg.length; index += 1) {
    const flag = `-${arg[index]}`;
    const rest = arg.slice(index + 1);
    const option = known.get(flag);
    if (option === undefined) return unknownOption(flag);
    if (option.value !== undefined) {
      const last =
        rest === '' ? withValue(option, flag, following) : { given: [[option, rest] as const], words: 1 as const };
      return { ...last, given: [...given, ...last.given] };
    }
    given.push([option, 'true']);
  }
  return { given, words: 1 };
}

function withValue(option: OptionSpec, flag: string, following: string | undefined): ReadOptions {
  if (following !== undefined) return { given: [[option, following]], words: 2 };
  return { given: [], words: 1, lacking: option, problem: { message: `option '${flag}' needs a value` } };
}

function unknownOption(flag: string): ReadOptions {
  return { given: [], words: 1, problem: { message: `unknown option '${flag}'`, unknown: flag } };
}

/** Reports whether a word is an option; `-` alone is an argument. */
export function isOption(arg: string): boolean {
  return arg.startsWith('-') && arg !== '-';
}
