/**
 * Rate limits of registries: reads them from responses and spaces requests accordingly, coordinated with other
 * processes on this machine. Knows no client. May import `util`.
 */
export { Governor, isRefusal, type GovernorOptions } from './governor.js';
export { parseLimitHeaders } from './limit-headers.js';
export { afterRefusal, parseLimitState, sharedClock, takeTurn, type LimitState } from './limit-state.js';
export { parseRetryAfter } from './retry-after.js';
