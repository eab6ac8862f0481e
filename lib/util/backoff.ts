const CEILING_MS = 15_000;

/**
 * Delay before retry number `attempt` (the first is 1): doubles from `baseMs` up to 15 s, less a random part of up to
 * one half, so that many clients do not retry at the same moment. Milliseconds.
 */
export function backoffMs(attempt: number, baseMs = 250): number {
  const full = Math.min(CEILING_MS, baseMs * 2 ** (attempt - 1));
  return full * (0.5 + Math.random() / 2);
}
