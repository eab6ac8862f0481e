import { DockerfileError } from '../errors.js';
import type { CheckDirective, Escape } from './instructions.js';
import { suggestion, SyntaxProblem } from './problem.js';

/** The directives at the top of a Dockerfile. */
interface Directives {
  readonly syntax?: string;
  readonly escape: Escape;
  readonly check: CheckDirective;
  /** Number of their lines; the first instruction or comment follows. */
  readonly lineCount: number;
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+)$/;
const KNOWN = ['syntax', 'escape', 'check'];

/**
 * Reads `# key=value` lines up to the first other line. A `#!` line may precede them, except for `escape`. Throws
 * DockerfileError for a duplicate directive or an invalid value.
 */
export function parseDirectives(lines: readonly string[], file: string): Directives {
  const found = new Map<string, string>();
  const hasShebang = lines[0]?.startsWith('#!') === true;
  let escape: Escape = '\\';
  let check = NO_CHECK;
  let index = hasShebang ? 1 : 0;
  for (; index < lines.length; index += 1) {
    const text = lines[index]!.trim();
    const match = DIRECTIVE.exec(text);
    const key = match?.[1]!.toLowerCase();
    if (match === null || key === undefined || !KNOWN.includes(key)) break;
    const fail = (message: string, hint?: string): never => {
      throw new DockerfileError(message, { file, line: index + 1, column: 1, text, hint });
    };
    if (found.has(key)) fail(`the directive ${key} is given twice`);
    const value = match[2]!;
    found.set(key, value);
    if (key === 'escape' && !hasShebang) {
      if (value !== '\\' && value !== '`') fail(`the escape character must be \\ or \`, not ${JSON.stringify(value)}`);
      escape = value as Escape;
    } else if (key === 'check') {
      try {
        check = parseCheck(value);
      } catch (error) {
        if (!(error instanceof SyntaxProblem)) throw error;
        fail(error.message, error.hint);
      }
    }
  }
  const syntax = found.get('syntax');
  return { escape, check, lineCount: index, ...(syntax === undefined ? {} : { syntax }) };
}

const NO_CHECK: CheckDirective = { skip: [], experimental: [], error: false };

/** Parses `skip=A,B;error=true;experimental=all`. Throws SyntaxProblem. */
export function parseCheck(value: string): CheckDirective {
  let check = NO_CHECK;
  for (const option of value.split(';')) {
    const equals = option.indexOf('=');
    const key = option.slice(0, equals < 0 ? undefined : equals).trim();
    const text = equals < 0 ? '' : option.slice(equals + 1).trim();
    if (equals < 0) throw new SyntaxProblem(`${JSON.stringify(option)} is not a check option`, 'write skip=RULE,RULE');
    if (key === 'skip') check = { ...check, skip: ruleNames(text) };
    else if (key === 'experimental') check = { ...check, experimental: ruleNames(text) };
    else if (key === 'error') check = { ...check, error: parseBoolean(text, 'check option error') };
    else
      throw new SyntaxProblem(
        `${JSON.stringify(key)} is not a check option`,
        suggestion(key, ['skip', 'experimental', 'error']),
      );
  }
  return check;
}

function ruleNames(text: string): readonly string[] | 'all' {
  return text === 'all' ? 'all' : text.split(',').map((name) => name.trim());
}

/** Parses a boolean like Go's `strconv.ParseBool`. Throws SyntaxProblem. */
export function parseBoolean(text: string, what: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw new SyntaxProblem(`${what}: ${JSON.stringify(text)} is not a boolean`, 'write true or false');
}
