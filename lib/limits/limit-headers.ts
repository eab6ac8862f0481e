import type { IncomingHttpHeaders } from 'node:http';

/** What a server says about its limit: requests allowed in a window, how many are left, and until when. */
export interface ToldLimit {
  readonly limit: number | undefined;
  /** Seconds. */
  readonly window: number | undefined;
  readonly remaining: number;
  /** Seconds until the window begins anew. */
  readonly reset: number | undefined;
}

/**
 * Reads `RateLimit-Limit`, `-Remaining`, `-Reset` (also `X-RateLimit-…`, and Docker Hub's `100;w=21600`) and the
 * `RateLimit` with `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers; undefined where nothing of use is said.
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

/** Some servers tell the time of day (seconds since 1970) instead of what is left of the window. */
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
