import { suggestion, SyntaxProblem } from './problem.js';

/** The supported flags of an instruction, by name. */
type FlagKinds = Readonly<Record<string, 'boolean' | 'text' | 'list'>>;

/** The flags of one instruction. */
export class Flags {
  readonly #values = new Map<string, string[]>();

  /** `words`: such as `--from=x`. Throws SyntaxProblem for a flag that is unknown, repeated, or without a value. */
  constructor(words: readonly string[], kinds: FlagKinds) {
    for (const word of words) {
      const equals = word.indexOf('=');
      const flag = equals < 0 ? word : word.slice(0, equals);
      const name = flag.slice(2);
      const value = equals < 0 ? undefined : word.slice(equals + 1);
      const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (kind === undefined) throw new SyntaxProblem(`unknown flag ${flag}`, flagSuggestion(name, kinds));
      const values = this.#values.get(name) ?? [];
      if (values.length > 0 && kind !== 'list') throw new SyntaxProblem(`the flag ${flag} is given twice`);
      if (value === undefined ? kind !== 'boolean' : value === '' && kind === 'boolean')
        throw new SyntaxProblem(`the flag ${flag} has no value`, `write ${flag}=VALUE`);
      if (kind === 'boolean' && !['true', 'false'].includes((value ?? 'true').toLowerCase()))
        throw new SyntaxProblem(`the flag ${flag} is true or false, not ${JSON.stringify(value)}`);
      this.#values.set(name, [...values, value ?? 'true']);
    }
  }

  /** Undefined when not given. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** Undefined when not given. */
  boolean(name: string): boolean | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : value.toLowerCase() === 'true';
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

function flagSuggestion(name: string, kinds: FlagKinds): string | undefined {
  const names = Object.keys(kinds);
  if (names.length === 0) return 'this instruction takes no flags';
  const flags = names.map((known) => `--${known}`);
  return suggestion(`--${name}`, flags) ?? `known flags: ${flags.join(', ')}`;
}

/** Returns an object with only the entries that are set. */
export function given<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as never;
}
