import { UsageError } from '../../errors.js';
import type { Completable } from '../completes.js';

/** A parsed value of an option. */
export type OptionValue = string | number | boolean | readonly string[];

/** An option. Its flag, variable, config key, help and docs are derived from this. */
export interface OptionSpec extends Completable {
  /** Long flag without dashes; also the key in the config file. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Alternative long flags, each with its own variable and key: names from other tools or older versions. */
  readonly aliases?: readonly string[];
  /** Name of the value in help (`DIR`). An option without it is boolean. */
  readonly value?: string;
  readonly default?: OptionValue;
  /** Further values of a boolean option: `--pull=never`. */
  readonly words?: readonly string[];
  readonly summary: string;
  /** May be repeated; the value is a list. */
  readonly repeat?: boolean;
  /** Parses the text. Throws UsageError. */
  readonly parse?: (text: string) => OptionValue;
  /** Hidden in `config show`. */
  readonly secret?: boolean;
  /** Names a program. As root, it is accepted only from a config file that only root can change. */
  readonly program?: boolean;
  /** Has the same meaning in every command, so that variable and key do not include the command. True for global options. */
  readonly shared?: boolean;
}

/** The option under each of its names, the main one first. */
export function spellingsOf(option: OptionSpec): readonly [OptionSpec, ...OptionSpec[]] {
  const { short: _, ...others } = option;
  return [option, ...(option.aliases ?? []).map((name) => ({ ...others, name }))];
}

/** Variable of an option: `IMGTOOL_TLS_VERIFY`, `IMGTOOL_PULL_POLICY`, `IMGTOOL_STORE_INIT_SIZE`. */
export function variableOf(option: OptionSpec, command: readonly string[]): string {
  const words = option.shared === true ? [option.name] : [...command, option.name];
  return `IMGTOOL_${words.join('_').replaceAll('-', '_').toUpperCase()}`;
}

/** Config path of an option: `['tls-verify']`, `['pull', 'policy']`. */
export function configPathOf(option: OptionSpec, command: readonly string[]): readonly string[] {
  return option.shared === true ? [option.name] : [...command, option.name];
}

/** Variables that set an option, for each of its names and of the command's (`namesOf`); the main ones first. */
export function variablesOf(option: OptionSpec, commands: readonly (readonly string[])[]): string[] {
  return commands.flatMap((command) => spellingsOf(option).map((spelling) => variableOf(spelling, command)));
}

/** Config paths, in the manner of `variablesOf`. */
export function configPathsOf(option: OptionSpec, commands: readonly (readonly string[])[]): (readonly string[])[] {
  return commands.flatMap((command) => spellingsOf(option).map((spelling) => configPathOf(spelling, command)));
}

/** The flag in help and docs: `-q, --quiet`, `--root DIR`. */
export function flagTerm(option: OptionSpec): string {
  const words = option.words === undefined ? '' : `[=${option.words.join('|')}]`;
  const long = `--${option.name}${option.value === undefined ? words : ` ${option.value}`}`;
  const term = option.short === undefined ? long : `-${option.short}, ${long}`;
  return option.value === undefined && option.default === true ? `${term}=false` : term;
}

/** Parses text from a flag, variable or file; messages name `source`. Throws UsageError. */
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

/** Parser that rejects an empty text. */
export function notEmpty(text: string): string {
  if (text !== '') return text;
  throw new UsageError('it is empty', { hint: 'give it a value, or leave it out' });
}

/** Parser for integers of at least `minimum`. */
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
