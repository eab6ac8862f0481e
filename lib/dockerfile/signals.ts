import { suggestion, SyntaxProblem } from './problem.js';

const NAMES = (
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN ' +
  'TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
).split(' ');

/** Reports whether `text` is a Linux signal, with or without SIG and in any case, or a number other than 0. */
function isSignal(text: string): boolean {
  if (/^[+-]?\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realtime === null) return NAMES.includes(name);
  const [, base, sign, offset] = realtime;
  if (sign === undefined || offset === undefined) return true;
  if (String(Number(offset)) !== offset || Number(offset) < 1) return false;
  return base === 'MIN' ? sign === '+' && Number(offset) <= 15 : sign === '-' && Number(offset) <= 14;
}

/** Throws SyntaxProblem for an invalid signal. */
export function checkSignal(text: string): void {
  if (isSignal(text)) return;
  const names = NAMES.map((name) => `SIG${name}`);
  throw new SyntaxProblem(`${JSON.stringify(text)} is not a signal`, suggestion(text, names));
}
