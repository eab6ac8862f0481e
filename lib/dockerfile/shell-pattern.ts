import { findGlob, type GlobToken } from './glob.js';
import { SyntaxProblem } from './problem.js';

/** `${v#p}`, `${v##p}`: removes the shortest or longest matching prefix. Throws SyntaxProblem. */
export function trimStart(value: string, pattern: string, isLongest: boolean): string {
  return withoutStart([...value], parseShellPattern(pattern), isLongest).join('');
}

/** `${v%p}`, `${v%%p}`: removes the shortest or longest matching suffix. Throws SyntaxProblem. */
export function trimEnd(value: string, pattern: string, isLongest: boolean): string {
  const tokens = parseShellPattern(pattern).reverse();
  return withoutStart([...value].reverse(), tokens, isLongest)
    .reverse()
    .join('');
}

function withoutStart(text: string[], tokens: readonly GlobToken[], isLongest: boolean): string[] {
  const match = findGlob(tokens, text, { isAnchored: true, isShortest: !isLongest });
  return match === undefined ? text : text.slice(match.end);
}

/** `${v/p/r}`, `${v//p/r}`: replaces the longest match, the first or every one. Throws SyntaxProblem. */
export function replacePattern(value: string, pattern: string, replacement: string, isEvery: boolean): string {
  const text = [...value];
  const tokens = parseShellPattern(pattern);
  const parts: string[] = [];
  let at = 0;
  for (let from = 0; from <= text.length;) {
    const match = findGlob(tokens, text, { from });
    if (match === undefined) break;
    const isEmpty = match.start === match.end;
    // An empty match directly after a match does not count.
    if (!isEmpty || match.start > at || parts.length === 0) {
      parts.push(...text.slice(at, match.start), replacement);
      at = match.end;
    }
    if (!isEvery) break;
    from = isEmpty ? match.end + 1 : match.end;
  }
  return [...parts, ...text.slice(at)].join('');
}

/** `*` and `?` match any text; `\` makes them literal. Only a newline matches a newline. */
function parseShellPattern(pattern: string): GlobToken[] {
  const tokens: GlobToken[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at += 1) {
    let char = characters[at]!;
    if (char === '*') tokens.push({ kind: 'star', except: '\n' });
    else if (char === '?') tokens.push({ kind: 'any', except: '\n' });
    else {
      if (char === '\\') {
        const next = characters[(at += 1)];
        if (next === undefined || !'*?\\}/'.includes(next))
          throw new SyntaxProblem(`invalid escape \\${next ?? ''} in the pattern ${JSON.stringify(pattern)}`);
        char = next;
      }
      tokens.push({ kind: 'char', char });
    }
  }
  return tokens;
}
