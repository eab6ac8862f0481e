const CEILING_MS = 15_000;

/**
 * How long to wait before try number `attempt` (1 is the first retry): doubles from `baseMs` up to 15 s, and a random
 * half of it is taken off so that many clients do not come back together. Milliseconds.
 */
export function backoffMs(attempt: number, baseMs = 250): number {
  const full = Math.min(CEILING_MS, baseMs * 2 ** (attempt - 1));
  return full * (0.5 + Math.random() / 2);
}
