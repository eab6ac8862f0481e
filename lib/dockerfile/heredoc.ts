import type { Heredoc } from './instructions.js';
import { expand, type LexerOptions } from './lexer.js';
import { SyntaxProblem } from './problem.js';

/** A heredoc whose body has not been read yet. */
type HeredocStart = Omit<Heredoc, 'body'>;

const WORD = /^(\d*)<<(-?)\s*(?!\s)([^<]*)$/;
const NO_VARIABLES: ReadonlyMap<string, string> = new Map();

/** Parses the heredoc that `word` starts; undefined if it starts none. */
export function parseHeredocStart(word: string): HeredocStart | undefined {
  const [, descriptor, dash, written] = WORD.exec(word) ?? [];
  if (written === undefined || written === '') return undefined;
  const plain = lexed(written, { keepsUnset: true });
  if (plain?.length !== 1) return undefined;
  const quoted = lexed(written, { keepsUnset: true, keepsQuotes: true });
  const name = plain[0]!;
  // A quote that only one of the two readings keeps surrounds part of the delimiter.
  const isExpanded = quoteCount(name) === quoteCount(quoted?.[0] ?? '');
  return { name, descriptor: Number(descriptor) || 0, isExpanded, cutsTabs: dash === '-' };
}

/** The heredocs that a line starts, in order; a quoted `<<` starts none. */
export function heredocStarts(line: string): HeredocStart[] {
  if (!line.includes('<<')) return [];
  const words = lexed(line, { keepsUnset: true, keepsQuotes: true, keepsEscapes: true }) ?? [];
  return words.map(parseHeredocStart).filter((start) => start !== undefined);
}

function lexed(text: string, options: LexerOptions): readonly string[] | undefined {
  try {
    return expand(text, NO_VARIABLES, options).words;
  } catch (error) {
    if (error instanceof SyntaxProblem) return undefined;
    throw error;
  }
}

function quoteCount(text: string): number {
  return text.replace(/[^'"]/g, '').length;
}

/** The content of the file of a COPY or ADD heredoc. Throws SyntaxProblem. */
export function heredocText(heredoc: Heredoc, environment: ReadonlyMap<string, string>): string {
  const body = heredocBody(heredoc);
  return heredoc.isExpanded ? expand(body, environment, { ignoresQuotes: true }).text : body;
}

/** The body, without the leading tabs that `<<-` removes. */
export function heredocBody({ body, cutsTabs }: Heredoc): string {
  return cutsTabs ? body.replace(/^\t+/gm, '') : body;
}
