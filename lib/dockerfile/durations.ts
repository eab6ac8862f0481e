import { SyntaxProblem } from './problem.js';

const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Parses a duration in Go's syntax into nanoseconds: `1h30m`, `1.5s`, `100ms`, `0`. Throws SyntaxProblem. */
export function parseDuration(text: string): number {
  const durationError = (): SyntaxProblem =>
    new SyntaxProblem(`${JSON.stringify(text)} is not a duration`, 'write a number and a unit, such as 30s or 1m30s');
  const [, sign, rest] = /^([+-]?)(.*)$/s.exec(text)!;
  if (rest === '0') return 0;
  if (text.length > 100 || !/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(rest!)) throw durationError();
  let total = 0;
  for (const [, number, unit] of rest!.matchAll(/([\d.]+)([a-zµμ]+)/g)) total += Number(number) * NANOSECONDS[unit!]!;
  // Go stores durations in 64 bits; JSON numbers are exact up to 2^53, about 104 days.
  if (!Number.isSafeInteger(Math.round(total))) throw durationError();
  return Math.round(total) * (sign === '-' ? -1 : 1);
}
