import type { ArgDeclaration, Escape, KeyValue } from './instructions.js';
import { SyntaxProblem } from './problem.js';
import { quotedWords } from './words.js';

/** Parses the arguments of ENV or LABEL: `K=V …`, or the old form `K V`. Throws SyntaxProblem. */
export function parsePairs(
  keyword: 'ENV' | 'LABEL',
  rest: string,
  escape: Escape,
): { readonly pairs: readonly KeyValue[]; readonly isLegacy: boolean } {
  const words = quotedWords(rest, escape);
  if (words.length === 0)
    throw new SyntaxProblem(`${keyword} needs at least one argument`, `write ${keyword} NAME=VALUE`);
  if (!words[0]!.includes('=')) {
    const [, key, value] = /^(\S+)[\t\v\f\r ]+(.*)$/s.exec(rest) ?? [];
    if (key === undefined || value === undefined)
      throw new SyntaxProblem(`${keyword} must have two arguments`, `write ${keyword} NAME=VALUE`);
    return { pairs: [{ key, value }], isLegacy: true };
  }
  return { pairs: words.map((word) => parsePair(keyword, word)), isLegacy: false };
}

function parsePair(keyword: string, word: string): KeyValue {
  const equals = word.indexOf('=');
  if (equals < 0)
    throw new SyntaxProblem(
      `there is no = in ${JSON.stringify(word)}`,
      `write ${keyword} NAME=VALUE, with quotes around a value with blanks`,
    );
  if (equals === 0) throw new SyntaxProblem(`a name of ${keyword} is empty`);
  return { key: word.slice(0, equals), value: word.slice(equals + 1) };
}

/** Parses the arguments of ARG: any number of `NAME` and `NAME=DEFAULT`. Throws SyntaxProblem. */
export function parseArgs(rest: string, escape: Escape): ArgDeclaration[] {
  const words = quotedWords(rest, escape);
  if (words.length === 0) throw new SyntaxProblem('ARG needs at least one argument');
  return words.map((word) => {
    if (!word.includes('=')) return { name: word };
    const { key, value } = parsePair('ARG', word);
    return { name: key, value };
  });
}
