import { SyntaxProblem } from './problem.js';

/** One element of a compiled pattern. */
export type GlobToken =
  | { readonly kind: 'char'; readonly char: string }
  /** One character other than `except`. */
  | { readonly kind: 'any'; readonly except: string }
  /** Any number of characters other than `except`; `''` excludes none. */
  | { readonly kind: 'star'; readonly except: string }
  /** The next `length` tokens are optional. */
  | { readonly kind: 'optional'; readonly length: number }
  | {
      readonly kind: 'class';
      readonly isNegated: boolean;
      readonly ranges: readonly (readonly [low: string, high: string])[];
    };

/** A part of a text, as character offsets; `end` is exclusive. */
interface GlobMatch {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds the leftmost match at or after `from`, or only at `from` if `isAnchored`: the longest or the shortest with that
 * start. Time is at most proportional to text × pattern, because patterns may be hostile.
 */
export function findGlob(
  tokens: readonly GlobToken[],
  text: readonly string[],
  { from = 0, isAnchored = false, isShortest = false } = {},
): GlobMatch | undefined {
  const size = tokens.length;
  // Start of the leftmost thread in each state; -1: no thread. In state i, the tokens before i have matched.
  let threads = new Int32Array(size + 1).fill(-1);
  let next = new Int32Array(size + 1);
  let best: GlobMatch | undefined;
  for (let at = from; at <= text.length; at += 1) {
    if (best === undefined && (at === from || !isAnchored)) offer(threads, 0, at);
    skipEmpty(tokens, threads);
    const done = threads[size]!;
    if (done >= 0 && (best === undefined || done <= best.start)) {
      best = { start: done, end: at };
      if (isShortest) return best;
    }
    if (at === text.length) break;
    next.fill(-1);
    let alive = false;
    for (let state = 0; state < size; state += 1) {
      const start = threads[state]!;
      if (start < 0 || (best !== undefined && start > best.start)) continue;
      const to = step(tokens[state]!, state, text[at]!);
      if (to === undefined) continue;
      offer(next, to, start);
      alive = true;
    }
    [threads, next] = [next, threads];
    if (!alive && (best !== undefined || isAnchored)) break;
  }
  return best;
}

function offer(threads: Int32Array, state: number, start: number): void {
  if (threads[state]! < 0 || start < threads[state]!) threads[state] = start;
}

/** Follows the tokens that can match nothing; all lead forward. */
function skipEmpty(tokens: readonly GlobToken[], threads: Int32Array): void {
  for (let state = 0; state < tokens.length; state += 1) {
    const start = threads[state]!;
    const token = tokens[state]!;
    if (start < 0 || (token.kind !== 'star' && token.kind !== 'optional')) continue;
    offer(threads, state + 1, start);
    if (token.kind === 'optional') offer(threads, state + 1 + token.length, start);
  }
}

/** The state after `char`, or undefined when the token does not match it. */
function step(token: GlobToken, state: number, char: string): number | undefined {
  switch (token.kind) {
    case 'char':
      return token.char === char ? state + 1 : undefined;
    case 'any':
      return token.except === char ? undefined : state + 1;
    case 'star':
      return token.except === char ? undefined : state;
    case 'optional':
      return undefined;
    case 'class': {
      const isInside = token.ranges.some(([low, high]) => low <= char && char <= high);
      return isInside === token.isNegated ? undefined : state + 1;
    }
  }
}

const ANYTHING: GlobToken = { kind: 'star', except: '' };
const DIRECTORIES: readonly GlobToken[] = [{ kind: 'optional', length: 2 }, ANYTHING, { kind: 'char', char: '/' }];

/** Reports whether the whole text matches. */
export function matchesGlob(tokens: readonly GlobToken[], text: string): boolean {
  const characters = [...text];
  const match = findGlob(tokens, characters, { isAnchored: true });
  return match?.end === characters.length;
}

/**
 * Compiles a pattern of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a]`, `\` escapes; `*` and `?` stop at slashes.
 * `hasDoubleStar` adds the `**` of ignore files. Throws SyntaxProblem.
 */
export function compileGlob(pattern: string, { hasDoubleStar = false } = {}): GlobToken[] {
  const tokens: GlobToken[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at += 1) {
    const char = characters[at]!;
    if (char === '*' && hasDoubleStar && characters[at + 1] === '*') {
      const rest = characters.slice(at + 2);
      const isLast = rest.length === 0 || (rest.length === 1 && rest[0] === '/');
      // At the start and before plain text, `**` matches any prefix: `**.md` matches x.md too.
      const isSuffix = at === 0 && rest[0] !== '/' && !rest.some((other) => '*?[]\\'.includes(other));
      tokens.push(...(isLast || isSuffix ? [ANYTHING] : DIRECTORIES));
      at += rest[0] === '/' ? 2 : 1;
    } else if (char === '*') tokens.push({ kind: 'star', except: '/' });
    else if (char === '?') tokens.push({ kind: 'any', except: '/' });
    else if (char === '[') {
      const { token, length } = parseClass(characters, at, pattern);
      tokens.push(token);
      at += length - 1;
    } else if (char === '\\') {
      at += 1;
      if (at >= characters.length) throw patternError(pattern);
      tokens.push({ kind: 'char', char: characters[at]! });
    } else tokens.push({ kind: 'char', char });
  }
  return tokens;
}

function parseClass(text: readonly string[], open: number, pattern: string): { token: GlobToken; length: number } {
  let at = open + 1;
  const isNegated = text[at] === '^';
  if (isNegated) at += 1;
  const ranges: [string, string][] = [];
  const bound = (): string => {
    let char = text[at];
    if (char === undefined || char === '-' || char === ']') throw patternError(pattern);
    if (char === '\\') char = text[(at += 1)];
    if (char === undefined) throw patternError(pattern);
    at += 1;
    return char;
  };
  while (ranges.length === 0 || text[at] !== ']') {
    const low = bound();
    if (text[at] !== '-') ranges.push([low, low]);
    else {
      at += 1;
      ranges.push([low, bound()]);
    }
  }
  return { token: { kind: 'class', isNegated, ranges }, length: at + 1 - open };
}

function patternError(pattern: string): SyntaxProblem {
  return new SyntaxProblem(`${JSON.stringify(pattern)} is not a pattern`, 'close [ with ], and end no pattern with \\');
}

/** Reports the result of Go's `filepath.Match(pattern, name)`. Throws SyntaxProblem for a malformed pattern. */
export function matchGlob(pattern: string, name: string): boolean {
  return matchesGlob(compileGlob(pattern), name);
}

/** Reports whether a COPY source is a pattern instead of a path. */
export function isGlob(source: string): boolean {
  return /[*?[]/.test(source);
}
