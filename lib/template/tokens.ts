import type { TemplateErrorOf } from './template-error.js';

/** A token of an action. */
export interface Token {
  readonly kind: 'word' | 'field' | 'dot' | 'variable' | 'literal' | 'sign';
  /** Offset in the template. */
  readonly at: number;
  /** A word, an operator, or a name without its `.` or `$`. */
  readonly text: string;
  readonly value?: string | number;
  /** True if no blank precedes this token. */
  readonly isGlued: boolean;
}

/** A piece of a template: literal text, or the tokens between `{{` and `}}`. */
export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly at: number; readonly tokens: readonly Token[] };

const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const NUMBER = /[-+]?(?:0[xX][0-9a-fA-F_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][-+]?\d+)?)/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
const RAW = /`[^`]*`/y;
const RUNE = /'(?:[^'\\\n]|\\.[0-9a-fA-F]*)'/uy;
const SIGNS = [':=', '(', ')', '|', '=', ','] as const;

/** Splits a template into texts and actions. `{{- ` and ` -}}` trim adjacent blanks; comments are dropped. */
export function splitTemplate(text: string, templateError: TemplateErrorOf): Piece[] {
  const pieces: Piece[] = [];
  let [at, trimsNext] = [0, false];
  for (;;) {
    const open = text.indexOf('{{', at);
    const trims = open >= 0 && /^\{\{-\s/.test(text.slice(open, open + 4));
    let plain = text.slice(at, open < 0 ? text.length : open);
    if (trimsNext) plain = plain.trimStart();
    if (trims) plain = plain.trimEnd();
    // Shells do not interpret \n and \t, so docker and podman do it.
    if (plain !== '') pieces.push({ kind: 'text', text: plain.replaceAll('\\t', '\t').replaceAll('\\n', '\n') });
    if (open < 0) return pieces;
    const start = open + (trims ? 3 : 2);
    const comment = /^\s*\/\*[^]*?\*\/(\s-)?\}\}/.exec(text.slice(start));
    if (comment !== null) {
      [at, trimsNext] = [start + comment[0].length, comment[1] !== undefined];
      continue;
    }
    const action = readAction(text, start, templateError);
    if (action === undefined) throw templateError(open, 'this {{ has no }}');
    pieces.push({ kind: 'action', at: open, tokens: action.tokens });
    [at, trimsNext] = [action.end, action.trims];
  }
}

/** Reads the tokens from `start` to `}}`; undefined without a `}}`. */
function readAction(
  text: string,
  start: number,
  templateError: TemplateErrorOf,
): { readonly tokens: Token[]; readonly end: number; readonly trims: boolean } | undefined {
  const tokens: Token[] = [];
  let [at, isGlued] = [start, false];
  while (at < text.length) {
    const closing = /^\s-\}\}/.exec(text.slice(at, at + 4));
    if (closing !== null) return { tokens, end: at + 4, trims: true };
    if (text.startsWith('}}', at)) return { tokens, end: at + 2, trims: false };
    if (/\s/.test(text[at]!)) {
      [at, isGlued] = [at + 1, false];
      continue;
    }
    const { length, ...token } = readToken(text, at, templateError);
    tokens.push({ ...token, at, isGlued });
    [at, isGlued] = [at + length, true];
  }
  return undefined;
}

type NewToken = Omit<Token, 'at' | 'isGlued'> & { readonly length: number };

function readToken(text: string, at: number, templateError: TemplateErrorOf): NewToken {
  const match = (pattern: RegExp, from = at): string | undefined => {
    pattern.lastIndex = from;
    return pattern.exec(text)?.[0];
  };
  const char = text[at]!;
  if (char === '.' || char === '$') {
    const name = match(NAME, at + 1);
    if (char === '$') return { kind: 'variable', text: name ?? '', length: 1 + (name?.length ?? 0) };
    if (name !== undefined) return { kind: 'field', text: name, length: 1 + name.length };
    if (!/\d/.test(text[at + 1] ?? '')) return { kind: 'dot', text: '.', length: 1 };
  }
  const word = match(NAME);
  if (word !== undefined) return { kind: 'word', text: word, length: word.length };
  const number = match(NUMBER);
  if (number !== undefined) return literal(number, Number(number.replaceAll('_', '')));
  const raw = match(RAW);
  if (raw !== undefined) return literal(raw, raw.slice(1, -1));
  const quoted = match(QUOTED);
  if (quoted !== undefined) return literal(quoted, unquote(quoted.slice(1, -1), at, templateError));
  const rune = match(RUNE);
  if (rune !== undefined) return literal(rune, unquote(rune.slice(1, -1), at, templateError).codePointAt(0)!);
  if (char === '"' || char === '`' || char === "'")
    throw templateError(at, `the text that begins with ${char} does not end`);
  const sign = SIGNS.find((known) => text.startsWith(known, at));
  if (sign === undefined) throw templateError(at, `${JSON.stringify(char)} has no meaning here`);
  return { kind: 'sign', text: sign, length: sign.length };
}

function literal(text: string, value: string | number): NewToken {
  return { kind: 'literal', text, value, length: text.length };
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
  ...{ '\\': '\\', '"': '"', "'": "'" },
};

/** Evaluates a quoted Go string. */
function unquote(text: string, at: number, templateError: TemplateErrorOf): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/g,
    (all: string, x?: string, u?: string, long?: string, octal?: string, char?: string) => {
      const hex = x ?? u ?? long;
      const code = hex === undefined ? (octal === undefined ? undefined : parseInt(octal, 8)) : parseInt(hex, 16);
      if (code !== undefined && code <= 0x10ffff) return String.fromCodePoint(code);
      const plain = char === undefined || !Object.hasOwn(ESCAPES, char) ? undefined : ESCAPES[char];
      if (plain === undefined) throw templateError(at, `${all} is no escape that a quoted text may hold`);
      return plain;
    },
  );
}
