import { UsageError } from '../errors.js';
import type { Rate } from './types.js';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses `5/s`, `100/6h`; undefined for `none`: no limit. Throws UsageError. */
export function parseRate(text: string): Rate | undefined {
  if (text === 'none') return undefined;
  const match = /^(\d{1,6})\/(\d{0,4})([smhd])$/.exec(text);
  const rate = {
    jobs: Number(match?.[1]),
    everyMs: Number(match?.[2] === '' ? 1 : match?.[2]) * (UNIT_MS[match?.[3] ?? ''] ?? NaN),
  };
  if (rate.jobs > 0 && rate.everyMs > 0) return rate;
  throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a rate`, {
    hint: 'write N/s, N/m, N/h or N/d, such as 5/s or 100/6h; none removes the limit',
  });
}
