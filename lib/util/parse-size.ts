import { UsageError } from '../errors.js';

const FACTOR: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Parses `1000`, `64GiB`, `1.5G`, `500MB` into bytes; `k` is 1000, `Ki` is 1024. Throws UsageError. */
export function parseSize(input: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?$/.exec(input.trim().toLowerCase());
  const factor = match === null ? undefined : FACTOR[match[2]!];
  const bytes = factor === undefined ? NaN : Math.round(Number(match![1]) * factor);
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`${JSON.stringify(input.slice(0, 100))} is not a size`, {
      hint: 'write bytes, or a number with a unit such as 500M or 64GiB',
    });
  }
  return bytes;
}
