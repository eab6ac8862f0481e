/** Statuses that may pass by themselves (RFC 9110; 429 is RFC 6585). */
const RETRY_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Codes of failed system calls and of broken connections that may pass, with how many retries each deserves. */
const RETRY_CODE: Readonly<Record<string, number>> = {
  ECONNRESET: Infinity,
  ECONNABORTED: Infinity,
  ETIMEDOUT: Infinity,
  EPIPE: Infinity,
  EAI_AGAIN: Infinity,
  ENETUNREACH: Infinity,
  EHOSTUNREACH: Infinity,
  ENETDOWN: Infinity,
  ENETRESET: Infinity,
  ERR_HTTP_CONTENT_LENGTH_MISMATCH: Infinity,
  // A registry that restarts is back soon; one that is not there should be said soon.
  ECONNREFUSED: 2,
  // A proxy that cannot reach the registry.
  EPROXYGATEWAY: 2,
};

/** A longer pause than this is not slept through: the caller is told instead. Milliseconds. */
export const MAX_RETRY_AFTER_MS = 120_000;

/** Whether a response with this status is worth another try. */
export function isRetryableStatus(status: number): boolean {
  return RETRY_STATUS.has(status);
}

/** Whether a try that failed with this code is worth retry number `attempt` (1 is the first). */
export function isRetryableCode(code: string | undefined, attempt: number): boolean {
  return code !== undefined && attempt <= (RETRY_CODE[code] ?? 0);
}
