import type { Escape, Position } from './instructions.js';
import { withoutEnding } from './source-lines.js';

/** An instruction's lines put together, without heredoc bodies. */
export interface LogicalLine {
  readonly text: string;
  readonly start: Position;
  /** Comments above it, as an instruction has them. */
  readonly comments: readonly string[];
}

/** Walks through the lines of a Dockerfile: a logical line at a time, and the bodies of its heredocs in between. */
export class LineReader {
  /** Lines of blank lines inside continuations. */
  readonly emptyContinuations: number[] = [];
  readonly #lines: readonly string[];
  readonly #escape: Escape;
  /** Index of the next line: the number of lines read. */
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

  /** The lines up to the one that is `terminator`; undefined when the file ends before. */
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

  /** A line continues after an escape at its end that is not escaped itself; blanks may follow. */
  #withoutContinuation(line: string): { readonly text: string; readonly continues: boolean } {
    let end = line.length;
    while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end -= 1;
    const continues = end > 0 && line[end - 1] === this.#escape && line[end - 2] !== this.#escape;
    return { text: continues ? line.slice(0, end - 1) : line, continues };
  }
}
