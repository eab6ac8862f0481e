import type { IncomingHttpHeaders } from 'node:http';

/** A server's limit: requests allowed per window, requests left, and time to the reset. */
interface ToldLimit {
  readonly limit: number | undefined;
  /** Length of the window. Seconds. */
  readonly window: number | undefined;
  readonly remaining: number;
  /** Seconds until the next window. */
  readonly reset: number | undefined;
}

/**
 * Reads `RateLimit-Limit`, `-Remaining`, `-Reset` (also `X-RateLimit-…`, and Docker Hub's `100;w=21600`) and the
 * `RateLimit` with `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers. Undefined when there is nothing useful.
 */
export function parseLimitHeaders(headers: IncomingHttpHeaders, now: number = Date.now()): ToldLimit | undefined {
  const text = (name: string): string | undefined => {
    const value = headers[name] ?? headers[`x-${name}`];
    return typeof value === 'string' ? value.slice(0, 500) : value?.[0]?.slice(0, 500);
  };
  const combined = text('ratelimit');
  const remaining = leading(text('ratelimit-remaining')) ?? parameter(combined, 'remaining', 'r');
  if (remaining === undefined) return undefined;
  const policy = text('ratelimit-policy');
  const limitText = text('ratelimit-limit');
  const limit = leading(limitText) ?? parameter(combined, 'limit') ?? leading(policy) ?? parameter(policy, 'q');
  const window = parameter(limitText, 'w') ?? parameter(policy, 'w');
  const resetText = leading(text('ratelimit-reset')) ?? parameter(combined, 'reset', 't');
  return { limit, window, remaining, reset: seconds(resetText, now) };
}

/** Some servers send the time of day (seconds since 1970) instead of the time left. */
function seconds(reset: number | undefined, now: number): number | undefined {
  return reset !== undefined && reset > 1e9 ? Math.max(0, reset - now / 1000) : reset;
}

function leading(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,12})\s*(?:[;,]|$)/.exec(text ?? '');
  return match === null ? undefined : Number(match[1]);
}

function parameter(text: string | undefined, ...names: readonly string[]): number | undefined {
  const match = new RegExp(`(?:^|[;,\\s])(?:${names.join('|')})\\s*=\\s*(\\d{1,12})`, 'i').exec(text ?? '');
  return match === null ? undefined : Number(match[1]);
}
