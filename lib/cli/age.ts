const STEPS: readonly (readonly [seconds: number, name: string])[] = [
  [365 * 86400, 'year'],
  [30 * 86400, 'month'],
  [7 * 86400, 'week'],
  [86400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** Formats the age of an ISO 8601 time: `3 weeks ago`; `-` without a time, and the text itself when it is not a time. */
export function formatAge(time: string | null | undefined): string {
  if (time === null || time === undefined) return '-';
  const then = Date.parse(time);
  if (Number.isNaN(then)) return time.slice(0, 40);
  const seconds = Math.max(0, (Date.now() - then) / 1000);
  const [unit, name] = STEPS.find(([length]) => seconds >= length * 2) ?? STEPS.at(-1)!;
  const count = Math.floor(seconds / unit);
  return `${count} ${name}${count === 1 ? '' : 's'} ago`;
}
