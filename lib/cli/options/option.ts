import { UsageError } from '../../errors.js';
import type { Completable } from '../completes.js';

/** A value of an option, after parsing. */
export type OptionValue = string | number | boolean | readonly string[];

/** One option: its flag, its environment variable, its key in the config file, its help and docs all come from this. */
export interface OptionSpec extends Completable {
  /** Long flag without dashes; key in the config file too. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Other spellings of the long flag, with variables and keys of their own: names that peers or older versions use. */
  readonly aliases?: readonly string[];
  /** Name of the value in help (`DIR`); an option without takes none and is true or false. */
  readonly value?: string;
  readonly default?: OptionValue;
  /** Texts that an option without a value takes besides true and false: `--pull=never`. */
  readonly words?: readonly string[];
  readonly summary: string;
  /** May be given several times; the value is a list. */
  readonly repeat?: boolean;
  /** Turns the text given into the value. Throws UsageError. */
  readonly parse?: (text: string) => OptionValue;
  /** Never shown by `config show`. */
  readonly secret?: boolean;
  /** Names a program: root takes it only from a config file that root alone can change. */
  readonly program?: boolean;
  /** Means the same in every command that has it: variable and key carry no command name. Global options are. */
  readonly shared?: boolean;
}

/** An option under each of its names, the main one first. */
export function spellingsOf(option: OptionSpec): readonly [OptionSpec, ...OptionSpec[]] {
  const { short: _, ...others } = option;
  return [option, ...(option.aliases ?? []).map((name) => ({ ...others, name }))];
}

/** Variable of an option: `IMGTOOL_TLS_VERIFY`, `IMGTOOL_PULL_POLICY`, `IMGTOOL_STORE_INIT_SIZE`. */
export function variableOf(option: OptionSpec, command: readonly string[]): string {
  const words = option.shared === true ? [option.name] : [...command, option.name];
  return `IMGTOOL_${words.join('_').replaceAll('-', '_').toUpperCase()}`;
}

/** Path of an option in the config file: `['tls-verify']`, `['pull', 'policy']`. */
export function configPathOf(option: OptionSpec, command: readonly string[]): readonly string[] {
  return option.shared === true ? [option.name] : [...command, option.name];
}

/** Variables that set an option: under each name of it, and of the command (`namesOf`); the main ones first. */
export function variablesOf(option: OptionSpec, commands: readonly (readonly string[])[]): string[] {
  return commands.flatMap((command) => spellingsOf(option).map((spelling) => variableOf(spelling, command)));
}

/** As `variablesOf`, paths in the config file. */
export function configPathsOf(option: OptionSpec, commands: readonly (readonly string[])[]): (readonly string[])[] {
  return commands.flatMap((command) => spellingsOf(option).map((spelling) => configPathOf(spelling, command)));
}

/** The flag as help and docs show it: `-q, --quiet`, `--root DIR`. */
export function flagTerm(option: OptionSpec): string {
  const words = option.words === undefined ? '' : `[=${option.words.join('|')}]`;
  const long = `--${option.name}${option.value === undefined ? words : ` ${option.value}`}`;
  const term = option.short === undefined ? long : `-${option.short}, ${long}`;
  return option.value === undefined && option.default === true ? `${term}=false` : term;
}

/** Parses text from a flag, a variable or a file; `source` is what messages call it. Throws UsageError. */
export function parseOption(option: OptionSpec, text: string, source: string): OptionValue {
  if (option.value === undefined)
    return option.words?.includes(text) === true ? text : parseBoolean(option, text, source);
  if (option.choices !== undefined && !option.choices.includes(text)) {
    throw new UsageError(`${source} does not take ${JSON.stringify(text.slice(0, 100))}`, {
      hint: `choose one of ${option.choices.join(', ')}`,
    });
  }
  if (option.parse === undefined) return text;
  try {
    return option.parse(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${source}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/** Parser for what must say something. */
export function notEmpty(text: string): string {
  if (text !== '') return text;
  throw new UsageError('it is empty', { hint: 'give it a value, or leave it out' });
}

/** Parser for whole numbers of at least `minimum`. */
export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(number) && number >= minimum) return number;
    throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a whole number of at least ${minimum}`);
  };
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  '1': true,
  false: false,
  no: false,
  off: false,
  '0': false,
};

function parseBoolean({ words = [] }: OptionSpec, text: string, source: string): boolean {
  const value = Object.hasOwn(BOOLEANS, text.toLowerCase()) ? BOOLEANS[text.toLowerCase()] : undefined;
  if (value === undefined)
    throw new UsageError(`${source} does not take ${JSON.stringify(text.slice(0, 100))}`, {
      hint: words.length === 0 ? 'write true or false' : `choose one of ${words.join(', ')}`,
    });
  return value;
}
