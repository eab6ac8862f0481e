import { posix } from 'node:path';
import { DockerfileError } from '../errors.js';
import { compileGlob, matchesGlob, type GlobToken } from './glob.js';
import { SyntaxProblem } from './problem.js';

interface Pattern {
  /** Cleaned, without the `!`. */
  readonly text: string;
  /** True for a pattern with `!`, which re-includes its matches. */
  readonly keeps: boolean;
  readonly matches: (path: string) => boolean;
  /** The names between slashes, for `canSkip`; a name with `**` can match several. */
  readonly segments: readonly string[];
}

/** A directory, and the patterns that match it or one of its parents. */
interface Checked {
  readonly path: string;
  readonly matched: readonly boolean[];
}

/**
 * The patterns of a .dockerignore file or of `--exclude`. Paths are relative to the context, separated by `/`, with no
 * slash at either end. Fast for paths in the order of a walk, because results for directories are cached.
 */
export class IgnorePatterns {
  readonly #patterns: readonly Pattern[];
  /** The parent directories of the last path, outermost first. */
  #above: Checked[] = [];

  private constructor(patterns: readonly Pattern[]) {
    this.#patterns = patterns;
  }

  /** Parses an ignore file. `file`: its name in messages. Throws DockerfileError. */
  static parse(text: string, { file }: { readonly file: string }): IgnorePatterns {
    const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
    const patterns = lines.flatMap((line, index) => {
      if (line.startsWith('#')) return [];
      try {
        return parsePattern(line);
      } catch (error) {
        if (!(error instanceof SyntaxProblem)) throw error;
        throw new DockerfileError(error.message, { file, line: index + 1, column: 1, text: line, hint: error.hint });
      }
    });
    return new IgnorePatterns(patterns);
  }

  /** The patterns of `--exclude`. Throws SyntaxProblem. */
  static of(patterns: readonly string[]): IgnorePatterns {
    return new IgnorePatterns(patterns.flatMap(parsePattern));
  }

  /** True when there are no patterns. */
  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /** True when a pattern begins with `!`. */
  get hasExceptions(): boolean {
    return this.#patterns.some(({ keeps }) => keeps);
  }

  /** True when a pattern excludes the whole context. */
  get excludesAll(): boolean {
    return this.#patterns.some(({ text, keeps }) => !keeps && ['*', '**', '**/*'].includes(text));
  }

  /** Reports whether the file or directory is excluded. The last pattern that matches it or a parent directory decides. */
  isExcluded(path: string): boolean {
    const names = path.split('/');
    const above: Checked[] = [];
    for (let depth = 1; depth < names.length; depth += 1) {
      const directory = names.slice(0, depth).join('/');
      const known = this.#above[depth - 1];
      above.push(known?.path === directory ? known : this.#check(directory, above.at(-1)));
    }
    this.#above = above;
    const { matched } = this.#check(path, above.at(-1));
    return this.#isLeftOut(matched);
  }

  /** Reports whether a walk can skip an excluded directory, because no pattern can re-include anything below it. */
  canSkip(directory: string): boolean {
    const names = directory.split('/');
    return !this.#patterns.some(({ keeps, segments }) => keeps && canMatchBelow(segments, names));
  }

  /** As in BuildKit, tests a pattern only if it could change the verdict so far. */
  #check(path: string, parent: Checked | undefined): Checked {
    let isOut = false;
    const matched = this.#patterns.map((pattern, index) => {
      const matches = parent?.matched[index] === true || (pattern.keeps === isOut && pattern.matches(path));
      if (matches) isOut = !pattern.keeps;
      return matches;
    });
    return { path, matched };
  }

  #isLeftOut(matched: readonly boolean[]): boolean {
    const last = matched.lastIndexOf(true);
    return last >= 0 && !this.#patterns[last]!.keeps;
  }
}

function canMatchBelow(segments: readonly string[], directory: readonly string[]): boolean {
  for (const [index, name] of directory.entries()) {
    const segment = segments[index];
    if (segment === undefined) return false;
    if (segment.includes('**')) return true;
    if (!couldMatch(segment, name)) return false;
  }
  return segments.length > directory.length;
}

function couldMatch(segment: string, name: string): boolean {
  try {
    return matchesGlob(compileGlob(segment), name);
  } catch {
    // A slash inside [] would split a class.
    return true;
  }
}

/** Parses one line into a pattern; none for a blank line. Throws SyntaxProblem. */
function parsePattern(line: string): Pattern[] {
  const trimmed = line.trim();
  if (trimmed === '') return [];
  const keeps = trimmed.startsWith('!');
  const written = keeps ? trimmed.slice(1).trim() : trimmed;
  if (written === '') throw new SyntaxProblem('! has no pattern', 'write the pattern behind it, such as !keep');
  const cleaned = posix.normalize(written).replace(/(?<=[^/])\/+$/, '');
  const text = cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned;
  // Go validates the pattern before looking for **.
  compileGlob(text);
  const tokens = compileGlob(text, { hasDoubleStar: true });
  return [{ text, keeps, matches: matcher(tokens), segments: text.split('/') }];
}

/** Most patterns are plain or have one star, so string comparison is faster. */
function matcher(tokens: readonly GlobToken[]): (path: string) => boolean {
  const [first, second, third, ...others] = tokens;
  if (first?.kind === 'optional' && second !== undefined && third !== undefined && others.every(staysInName)) {
    const matches = matcher(others);
    return (path) => matches(path.slice(path.lastIndexOf('/') + 1));
  }
  const plain = plainText(tokens);
  if (plain !== undefined) return (path) => path === plain;
  const suffix = plainText(tokens.slice(1));
  if (first?.kind === 'star' && suffix !== undefined)
    return (path) =>
      path.endsWith(suffix) && (first.except === '' || !path.slice(0, path.length - suffix.length).includes('/'));
  const prefix = plainText(tokens.slice(0, -1));
  const last = tokens.at(-1);
  if (last?.kind === 'star' && last.except === '' && prefix !== undefined) return (path) => path.startsWith(prefix);
  const start = plainText(
    tokens.slice(
      0,
      tokens.findIndex(({ kind }) => kind !== 'char'),
    ),
  )!;
  return (path) => path.startsWith(start) && matchesGlob(tokens, path);
}

/** Reports whether a token cannot match a slash. */
function staysInName(token: GlobToken): boolean {
  if (token.kind === 'char') return token.char !== '/';
  return (token.kind === 'star' || token.kind === 'any') && token.except === '/';
}

function plainText(tokens: readonly GlobToken[]): string | undefined {
  const characters = tokens.map((token) => (token.kind === 'char' ? token.char : undefined));
  return characters.every((char) => char !== undefined) ? characters.join('') : undefined;
}
