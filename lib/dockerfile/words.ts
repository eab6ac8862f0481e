import type { Escape } from './instructions.js';

/** An instruction's keyword, its `--flags` and the rest. */
export interface SplitLine {
  readonly keyword: string;
  /** Flags without quotes and escapes: `--from=x`. */
  readonly flags: readonly string[];
  readonly rest: string;
}

/** Splits a logical line. Flags are the words that start with `--` before the first other word; a lone `--` ends them. */
export function splitLine(line: string, escape: Escape): SplitLine {
  const [, keyword = '', args = ''] = /^(\S*)[\t\v\f\r ]*(.*)$/s.exec(line.trim())!;
  const flags: string[] = [];
  let rest = args;
  for (;;) {
    rest = rest.trimStart();
    if (!rest.startsWith('--')) break;
    const { word, length } = readFlag(rest, escape);
    rest = rest.slice(length);
    if (word === '--') break;
    flags.push(word);
  }
  return { keyword, flags, rest: rest.trim() };
}

function readFlag(text: string, escape: Escape): { readonly word: string; readonly length: number } {
  let word = '';
  let quote = '';
  let at = 0;
  for (; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === escape) word += text[(at += 1)] ?? '';
    else if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") quote = char;
    else if (/\s/.test(char)) break;
    else word += char;
  }
  return { word, length: at };
}

/** Splits at white space outside quotes; keeps quotes and escapes, which expansion removes. */
export function quotedWords(text: string, escape: Escape): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!;
    if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
    } else if (char === escape && quote !== "'") {
      // A trailing escape has no effect.
      if (at + 1 < text.length) word += char + text[(at += 1)]!;
    } else {
      if (quote === '') quote = char === '"' || char === "'" ? char : '';
      else if (char === quote) quote = '';
      word += char;
    }
  }
  if (word !== '') words.push(word);
  return words;
}

/** Splits at white space only. */
export function plainWords(text: string): string[] {
  return text === '' ? [] : text.split(/[\t\v\f\r ]+/);
}

/** The strings of a JSON list; undefined for other text. `mixed`: a list with other elements. */
export function jsonWords(text: string): string[] | 'mixed' | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(list)) return undefined;
  return list.every((word) => typeof word === 'string') ? list : 'mixed';
}
