import type { Escape } from './instructions.js';
import { SyntaxProblem } from './problem.js';
import { replacePattern, trimEnd, trimStart } from './shell-pattern.js';

/** The variables for expansion. */
export type Environment = ReadonlyMap<string, string>;

/** Settings for reading a word; all default to false. */
export interface LexerOptions {
  readonly escape?: Escape;
  /** Keeps quotes in the result. */
  readonly keepsQuotes?: boolean;
  /** Keeps escape characters in the result. */
  readonly keepsEscapes?: boolean;
  /** Treats quotes as ordinary characters, as in the body of a heredoc. */
  readonly ignoresQuotes?: boolean;
  /** Keeps references to unset variables as written. */
  readonly keepsUnset?: boolean;
}

/** An expanded word. */
export interface Expansion {
  readonly text: string;
  /** The text, split at white space outside quotes. */
  readonly words: readonly string[];
  /** Names of used variables that are set. */
  readonly used: ReadonlySet<string>;
  /** Names of used variables that are not set. */
  readonly unset: ReadonlySet<string>;
}

/** Limit of nesting in `${a:-${b:-…}}`. */
const MAX_DEPTH = 100;
const SPECIAL_PARAMETERS = '@*#?-$!0';

/** Removes quotes and substitutes variables in `word`, as BuildKit does. Throws SyntaxProblem. */
export function expand(word: string, environment: Environment, options: LexerOptions = {}): Expansion {
  try {
    return new Lexer(word, environment, options).run();
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    const shown = word.length > 200 ? `${word.slice(0, 200)}…` : word;
    throw new SyntaxProblem(`${error.message}, in ${JSON.stringify(shown)}`, error.hint);
  }
}

/** Collects text and the words into which it splits. */
class WordBuffer {
  text = '';
  #word = '';
  readonly #words: string[] = [];

  /** Adds text that does not split: quoted or escaped. */
  addQuoted(text: string): void {
    this.text += text;
    this.#word += text;
  }

  add(text: string): void {
    this.text += text;
    for (const char of text) {
      if (/\s/.test(char)) this.#end();
      else this.#word += char;
    }
  }

  words(): readonly string[] {
    this.#end();
    return this.#words;
  }

  #end(): void {
    if (this.#word !== '') this.#words.push(this.#word);
    this.#word = '';
  }
}

class Lexer {
  readonly #text: string;
  readonly #environment: Environment;
  readonly #options: LexerOptions;
  readonly #escape: string;
  readonly #used = new Set<string>();
  readonly #unset = new Set<string>();
  #at = 0;
  #depth = 0;

  constructor(text: string, environment: Environment, options: LexerOptions) {
    this.#text = text;
    this.#environment = environment;
    this.#options = options;
    this.#escape = options.escape ?? '\\';
  }

  run(): Expansion {
    const buffer = this.#readUntil(undefined, this.#options.keepsEscapes === true);
    return { text: buffer.text, words: buffer.words(), used: this.#used, unset: this.#unset };
  }

  /** Reads to the end, or up to `stop`, which is consumed. */
  #readUntil(stop: string | undefined, keepsEscapes: boolean): WordBuffer {
    if ((this.#depth += 1) > MAX_DEPTH) throw new SyntaxProblem('variables are nested too deeply');
    const buffer = new WordBuffer();
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) break;
      if (char === stop) {
        this.#at += 1;
        this.#depth -= 1;
        return buffer;
      }
      if (char === '$') buffer.add(this.#variable());
      else if (char === "'" && this.#options.ignoresQuotes !== true) buffer.addQuoted(this.#singleQuoted());
      else if (char === '"' && this.#options.ignoresQuotes !== true) buffer.addQuoted(this.#doubleQuoted(keepsEscapes));
      else if (char === '<') buffer.addQuoted(this.#heredocStart());
      else if (char === this.#escape) {
        if (keepsEscapes) buffer.addQuoted(char);
        buffer.addQuoted(this.#text[this.#at + 1] ?? '');
        this.#at += 2;
      } else {
        buffer.add(char);
        this.#at += 1;
      }
    }
    if (stop !== undefined) throw new SyntaxProblem(`a ${stop} is missing`);
    this.#depth -= 1;
    return buffer;
  }

  #singleQuoted(): string {
    const close = this.#text.indexOf("'", this.#at + 1);
    if (close < 0) throw new SyntaxProblem('a single quote is not closed');
    const inner = this.#text.slice(this.#at + 1, close);
    this.#at = close + 1;
    return this.#options.keepsQuotes === true ? `'${inner}'` : inner;
  }

  #doubleQuoted(keepsEscapes: boolean): string {
    let text = '';
    this.#at += 1;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) throw new SyntaxProblem('a double quote is not closed');
      if (char === '"') break;
      if (char === '$') {
        text += this.#variable();
        continue;
      }
      this.#at += 1;
      if (char !== this.#escape) {
        text += char;
        continue;
      }
      const next = this.#text[this.#at];
      if (keepsEscapes) text += char;
      if (next === undefined) continue;
      // Before other characters, the escape character is literal.
      if (next === '"' || next === '$' || next === this.#escape) {
        text += next;
        this.#at += 1;
      } else text += char;
    }
    this.#at += 1;
    return this.#options.keepsQuotes === true ? `"${text}"` : text;
  }

  /** Blanks after `<<` do not split, so that `<< EOF` is one word. */
  #heredocStart(): string {
    const start = /<(?:<[\t\r ]*)?/y;
    start.lastIndex = this.#at;
    const text = start.exec(this.#text)![0];
    this.#at += text.length;
    return text;
  }

  #variable(): string {
    this.#at += 1;
    if (this.#text[this.#at] === '{') {
      this.#at += 1;
      return this.#braced();
    }
    const name = this.#name();
    if (name === '') return '$';
    const value = this.#lookUp(name);
    return value ?? (this.#options.keepsUnset === true ? `$${name}` : '');
  }

  /** A name, a number or a special parameter; empty if there is none. */
  #name(): string {
    const name = /\p{Nd}+|[\p{L}\p{Nd}_]+/uy;
    name.lastIndex = this.#at;
    const first = this.#text[this.#at] ?? '';
    const found = name.exec(this.#text)?.[0] ?? (first !== '' && SPECIAL_PARAMETERS.includes(first) ? first : '');
    this.#at += found.length;
    return found;
  }

  #lookUp(name: string): string | undefined {
    const value = this.#environment.get(name);
    (value === undefined ? this.#unset : this.#used).add(name);
    return value;
  }

  #braced(): string {
    const start = this.#at - 2;
    if (this.#at >= this.#text.length) throw new SyntaxProblem('a } is missing');
    if ('{}:'.includes(this.#text[this.#at]!)) throw new SyntaxProblem('bad substitution');
    const name = this.#name();
    let operator = this.#next();
    if (operator === '}') {
      const value = this.#lookUp(name);
      return value ?? (this.#options.keepsUnset === true ? `\${${name}}` : '');
    }
    if (operator === '/') return this.#replaced(name, start);
    const isColon = operator === ':';
    if (isColon) operator = this.#next();
    if (!'+-?#%'.includes(operator) || (isColon && '#%'.includes(operator)))
      throw new SyntaxProblem(`${isColon ? ':' : ''}${operator} is not supported in a variable`);
    const isPattern = operator === '#' || operator === '%';
    const word = this.#readUntil('}', isPattern).text;
    const value = this.#lookUp(name);
    if (value === undefined && this.#options.keepsUnset === true) return this.#text.slice(start, this.#at);
    return valueOf({ name, value, operator, isColon, word });
  }

  #replaced(name: string, start: number): string {
    const isEvery = this.#text[this.#at] === '/';
    if (isEvery) this.#at += 1;
    const pattern = this.#readUntil('/', true).text;
    const replacement = this.#readUntil('}', true).text;
    const value = this.#lookUp(name);
    if (value === undefined && this.#options.keepsUnset === true) return this.#text.slice(start, this.#at);
    return replacePattern(value ?? '', pattern, replacement, isEvery);
  }

  #next(): string {
    const char = this.#text[this.#at];
    if (char === undefined) throw new SyntaxProblem('a } is missing');
    this.#at += 1;
    return char;
  }
}

interface Braced {
  readonly name: string;
  readonly value: string | undefined;
  readonly operator: string;
  readonly isColon: boolean;
  readonly word: string;
}

function valueOf({ name, value, operator, isColon, word }: Braced): string {
  const isSet = value !== undefined && !(isColon && value === '');
  switch (operator) {
    case '-':
      return isSet ? value : word;
    case '+':
      return isSet ? word : '';
    case '?':
      if (isSet) return value;
      throw new SyntaxProblem(`${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`);
    default: {
      const isLongest = word.startsWith(operator);
      const pattern = isLongest ? word.slice(1) : word;
      return operator === '#' ? trimStart(value ?? '', pattern, isLongest) : trimEnd(value ?? '', pattern, isLongest);
    }
  }
}
