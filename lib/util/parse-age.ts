import { UsageError } from '../errors.js';

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Parses a duration (`90s`, `15m`, `12h`, `30d`, `2w`). Milliseconds. Throws UsageError. */
export function parseAge(text: string): number {
  const match = /^(\d{1,6})([smhdw])$/.exec(text.trim());
  if (match !== null && Number(match[1]) > 0) return Number(match[1]) * UNIT_MS[match[2]!]!;
  throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a duration`, {
    hint: 'write a number and s, m, h, d or w, such as 30d',
  });
}
