import { SyntaxProblem } from './problem.js';

/** Computes a file's new mode; both modes are the low twelve bits. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

const READ = 0o444;
const WRITE = 0o222;
const EXECUTE = 0o111;
const STICKY = 0o1000;
const SET_ID = 0o6000;
/** The bits of u, g, o and a. */
const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o0007, a: 0o6777 };
const SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/** Parses `--chmod`: octal up to 07777, or symbolic as in chmod(1) (`u=rw,go=r`, `a+X`). Throws SyntaxProblem. */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]+$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const clauses = /^\d/.test(text) ? [undefined] : text.split(',').map(parseClause);
  const known = clauses.filter((clause) => clause !== undefined);
  if (known.length < clauses.length)
    throw new SyntaxProblem(
      `${JSON.stringify(text)} is not a mode`,
      'write it in octal up to 07777, such as 0644, or as in u=rw,go=r',
    );
  return (mode, isDirectory) =>
    known.reduce((current, clause) => clause(current, isDirectory || (mode & EXECUTE) !== 0), mode);
}

/** Parses one comma-separated clause. `isExecutable`: the condition of X, tested before any change. */
function parseClause(text: string): ((mode: number, isExecutable: boolean) => number) | undefined {
  const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(text);
  if (match === null) return undefined;
  const who = [...match[1]!].reduce((bits, char) => bits | WHO[char]!, 0);
  const steps = [...match[2]!.matchAll(/([-+=])([rwxXstugo]*)/g)];
  return (original, isExecutable) =>
    steps.reduce((mode, [, operator, letters]) => {
      const bits = bitsOf(letters!, { mode, isExecutable: isExecutable || operator === '-', who });
      if (operator === '+') return mode | bits;
      if (operator === '-') return mode & ~bits;
      return (mode & ~(who === 0 ? WHO['a']! : who)) | bits;
    }, original);
}

interface ModeContext {
  readonly mode: number;
  readonly isExecutable: boolean;
  /** 0 means all. */
  readonly who: number;
}

function bitsOf(letters: string, { mode, isExecutable, who }: ModeContext): number {
  const mask = who === 0 ? WHO['a']! : who;
  const isOnlyOthers = who !== 0 && (who & ~WHO['o']!) === 0;
  let bits = 0;
  for (const letter of letters) {
    const shift = SHIFT[letter];
    if (letter === 'r') bits |= READ & mask;
    else if (letter === 'w') bits |= WRITE & mask;
    else if (letter === 'x') bits |= EXECUTE & mask;
    else if (letter === 'X') bits |= isExecutable ? EXECUTE & mask : 0;
    else if (letter === 's') bits |= isOnlyOthers ? 0 : SET_ID & mask;
    else if (letter === 't') bits |= isOnlyOthers ? 0 : STICKY;
    else if (shift !== undefined) bits |= (((mode >> shift) & 7) * EXECUTE) & mask;
  }
  return bits;
}
