import type { CommandSpec } from '../command.js';
import { completesOf, type Completable, type Completes } from '../completes.js';
import { GLOBAL_OPTIONS } from '../options/global.js';
import type { OptionSpec } from '../options/option.js';
import { isOption, knownOptions, readOption, type KnownOptions, type ReadOptions } from '../read-line.js';

/** The kind of word at the cursor. */
export type Cursor =
  /** A word of a command: at `depth` in the path of any of these. */
  | { readonly kind: 'verb'; readonly commands: readonly CommandSpec[]; readonly depth: number }
  | { readonly kind: 'flag'; readonly options: readonly OptionSpec[] }
  | ValueCursor;

/** `prefix`: the text before the value in the same word (`--policy=`). */
interface ValueCursor {
  readonly kind: 'value';
  readonly choices: readonly string[];
  readonly completes: readonly Completes[];
  readonly prefix: string;
}

/** An incomplete command line. */
export interface PartialLine {
  readonly cursor: Cursor;
  /** The options before the cursor, as in `parseArguments`. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: ValueCursor = { kind: 'value', choices: [], completes: [], prefix: '' };

/** Reads the words after the program's name; the last one is at the cursor, possibly empty. Mistakes are ignored. */
export function readWords(words: readonly string[], commands: readonly CommandSpec[]): PartialLine {
  const reader = new WordReader(commands);
  const before = words.slice(0, -1);
  let lacking: OptionSpec | undefined;
  for (let at = 0; at < before.length;) {
    const read = reader.read(before, at);
    lacking = read.lacking;
    at += read.words;
  }
  const text = words.at(-1) ?? '';
  return { cursor: lacking === undefined ? reader.cursorAt(text) : valueOf(lacking), flags: reader.flags };
}

class WordReader {
  readonly flags = new Map<string, string[]>();
  readonly #commands: readonly CommandSpec[];
  #path: string[] = [];
  #command: CommandSpec | undefined;
  #args = 0;
  #isHelp = false;
  #optionsEnded = false;

  constructor(commands: readonly CommandSpec[]) {
    this.#commands = commands;
  }

  /** Takes the word at `at`, with an option's value; `lacking`: the option whose value is still missing. */
  read(words: readonly string[], at: number): Pick<ReadOptions, 'words' | 'lacking'> {
    const word = words[at]!;
    if (!this.#optionsEnded && word === '--') this.#optionsEnded = true;
    else if (!this.#optionsEnded && isOption(word)) {
      const read = readOption(words, at, this.#known());
      for (const [{ name }, value] of read.given) this.flags.set(name, [...(this.flags.get(name) ?? []), value]);
      return read;
    } else this.#readArgument(word);
    return { words: 1 };
  }

  cursorAt(text: string): Cursor {
    if (!this.#optionsEnded && isOption(text)) return this.#flagAt(text);
    if (this.#command === undefined) return this.#verbs();
    const { arguments: specs, optionsFirst } = this.#command;
    if (this.#isHelp || (optionsFirst === true && this.#args > 0)) return NOTHING;
    const spec = specs[Math.min(this.#args, specs.length - 1)];
    if (spec === undefined || (this.#args >= specs.length && spec.variadic !== true)) return NOTHING;
    const subcommands = this.#args > 0 ? [] : this.#below(this.#path).map(({ path }) => path.at(-1)!);
    const cursor = valueOf(spec);
    return { ...cursor, choices: [...cursor.choices, ...subcommands] };
  }

  #verbs(): Cursor {
    const depth = this.#path.length;
    const commands = this.#commands.filter(({ path }) => this.#path.every((word, index) => path[index] === word));
    return { kind: 'verb', commands: commands.filter(({ path }) => path.length > depth), depth };
  }

  #flagAt(text: string): Cursor {
    const option = text.includes('=') ? this.#known().get(text.slice(0, text.indexOf('='))) : undefined;
    if (option !== undefined) {
      const value =
        option.value === undefined ? { ...NOTHING, choices: option.words ?? ['true', 'false'] } : valueOf(option);
      return { ...value, prefix: text.slice(0, text.indexOf('=') + 1) };
    }
    const options = this.#options().filter(({ name, repeat }) => repeat === true || !this.flags.has(name));
    return { kind: 'flag', options };
  }

  #readArgument(word: string): void {
    if (this.#command !== undefined) {
      const below = this.#args === 0 ? this.#below(this.#path).find(({ path }) => path.at(-1) === word) : undefined;
      if (below !== undefined) this.#command = below;
      else this.#args += 1;
      if (this.#command.optionsFirst === true) this.#optionsEnded = true;
    } else if (word === 'help' && this.#path.length === 0) this.#isHelp = true;
    else {
      this.#path.push(word);
      this.#command = this.#commands.find(
        ({ path, aliases }) =>
          path.join(' ') === this.#path.join(' ') || (this.#path.length === 1 && aliases.includes(word)),
      );
    }
  }

  #below(parent: readonly string[]): readonly CommandSpec[] {
    return this.#commands.filter(
      ({ path }) => path.length === parent.length + 1 && parent.every((word, index) => path[index] === word),
    );
  }

  #options(): readonly OptionSpec[] {
    return [...(this.#command?.options ?? []), ...GLOBAL_OPTIONS];
  }

  #known(): KnownOptions {
    return knownOptions(this.#command?.options);
  }
}

function valueOf(spec: Completable & { readonly name: string; readonly value?: string }): ValueCursor {
  const choices = spec.choices ?? [];
  return { ...NOTHING, choices, completes: choices.length > 0 ? [] : completesOf(spec, spec.value ?? spec.name) };
}
