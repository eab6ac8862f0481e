import type { Escape, Position } from './instructions.js';
import { withoutEnding } from './source-lines.js';

/** The joined lines of an instruction, without heredoc bodies. */
export interface LogicalLine {
  readonly text: string;
  readonly start: Position;
  /** The comments above it, as in an instruction. */
  readonly comments: readonly string[];
}

/** Reads a Dockerfile's logical lines one by one, and the heredoc bodies between them. */
export class LineReader {
  /** Line numbers of blank lines inside continuations. */
  readonly emptyContinuations: number[] = [];
  readonly #lines: readonly string[];
  readonly #escape: Escape;
  /** Index of the next line, which is the number of lines read. */
  #next: number;

  /** `first`: index of the first line to read. */
  constructor(lines: readonly string[], escape: Escape, first = 0) {
    this.#lines = lines;
    this.#escape = escape;
    this.#next = first;
  }

  /** Number of the last line read. */
  get line(): number {
    return this.#next;
  }

  /** The end of the last line read. */
  get end(): Position {
    return { line: this.#next, column: withoutEnding(this.#lines[this.#next - 1] ?? '').length + 1 };
  }

  /** The next logical line that is neither blank nor a comment; undefined at the end. */
  readInstruction(): LogicalLine | undefined {
    let comments: string[] = [];
    for (let raw = this.#read(); raw !== undefined; raw = this.#read()) {
      const line = raw.trimStart();
      if (line.startsWith('#')) {
        const comment = line.slice(1).trim();
        comments = comment === '' ? [] : [...comments, comment];
        continue;
      }
      const start = { line: this.#next, column: raw.length - line.length + 1 };
      const { text, continues } = this.#withoutContinuation(line);
      if (text !== '' || continues) return { text: continues ? text + this.#readRest() : text, start, comments };
    }
    return undefined;
  }

  /** Reads lines up to `terminator`; undefined if the file ends first. */
  readHeredoc(terminator: string, cutsTabs: boolean): string | undefined {
    const body: string[] = [];
    for (let raw = this.#lines[this.#next]; raw !== undefined; raw = this.#lines[this.#next]) {
      this.#next += 1;
      const line = cutsTabs ? raw.replace(/^\t+/, '') : raw;
      if (withoutEnding(line) === terminator) return body.join('');
      body.push(raw);
    }
    return undefined;
  }

  #readRest(): string {
    const parts: string[] = [];
    for (let line = this.#read(); line !== undefined; line = this.#read()) {
      const trimmed = line.trimStart();
      if (trimmed.startsWith('#')) continue;
      if (trimmed === '') {
        this.emptyContinuations.push(this.#next);
        continue;
      }
      const { text, continues } = this.#withoutContinuation(line);
      parts.push(text);
      if (!continues) break;
    }
    return parts.join('');
  }

  #read(): string | undefined {
    const line = this.#lines[this.#next];
    if (line === undefined) return undefined;
    this.#next += 1;
    return withoutEnding(line);
  }

  /** A line continues after an unescaped escape character at its end; blanks may follow. */
  #withoutContinuation(line: string): { readonly text: string; readonly continues: boolean } {
    let end = line.length;
    while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end -= 1;
    const continues = end > 0 && line[end - 1] === this.#escape && line[end - 2] !== this.#escape;
    return { text: continues ? line.slice(0, end - 1) : line, continues };
  }
}
