/** Statuses that are often temporary (RFC 9110; 429 is from RFC 6585). */
const RETRY_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Codes of system calls and connection errors that are often temporary, with the number of retries for each. */
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
  // A restarting registry is back soon; an absent one should be reported soon.
  ECONNREFUSED: 2,
  // The proxy cannot reach the registry.
  EPROXYGATEWAY: 2,
};

/** The longest `Retry-After` in ms to wait for; a response that asks for more is final. */
export const MAX_RETRY_AFTER_MS = 120_000;

/** Reports whether a response with this status is worth a retry. */
export function isRetryableStatus(status: number): boolean {
  return RETRY_STATUS.has(status);
}

/** Reports whether an attempt that failed with `code` is worth retry number `attempt` (the first is 1). */
export function isRetryableCode(code: string | undefined, attempt: number): boolean {
  return code !== undefined && attempt <= (RETRY_CODE[code] ?? 0);
}
