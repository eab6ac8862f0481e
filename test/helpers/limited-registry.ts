/** A registry of tags alone that bears so many requests in a second, as a token bucket, and refuses the others with 429. */
import { createServer } from 'node:http';
import { listenOnLoopback } from './loopback-server.js';

/** A running one. */
export interface LimitedRegistry {
  readonly host: string;
  readonly answered: number;
  readonly refused: number;
  close(): Promise<void>;
}

/** Starts one; the list of tags of `…appN` has N pages. `tells`: it says beforehand how much is left; `tokens`: requests it bears at once. */
export async function startLimitedRegistry(
  perSecond: number,
  { tells = false, tokens = perSecond }: { readonly tells?: boolean; readonly tokens?: number } = {},
): Promise<LimitedRegistry> {
  // A bucket begins to fill with the first request, however long its sender takes to start.
  let filled: number | undefined;
  let answered = 0;
  let refused = 0;
  const server = createServer((request, response) => {
    const now = performance.now();
    tokens = Math.min(perSecond, tokens + ((now - (filled ?? now)) / 1000) * perSecond);
    filled = now;
    if (tokens < 1) {
      refused++;
      response.writeHead(429, { 'retry-after': '1' }).end();
      return;
    }
    tokens--;
    answered++;
    const url = new URL(request.url ?? '/', 'http://x');
    const page = Number(url.searchParams.get('page') ?? 1);
    const pages = Number(/(\d+)\/tags/.exec(url.pathname)?.[1] ?? 1);
    const next = page < pages ? { link: `<${url.pathname}?n=1&page=${page + 1}>; rel="next"` } : {};
    const limits = {
      'ratelimit-limit': `${perSecond};w=1`,
      'ratelimit-remaining': `${Math.floor(tokens)}`,
      'ratelimit-reset': '1',
    };
    response.writeHead(200, { 'content-type': 'application/json', ...next, ...(tells ? limits : {}) });
    response.end(JSON.stringify({ name: 'app', tags: [`t${page}`] }));
  });
  const { host, close } = await listenOnLoopback(server);
  return {
    host,
    get answered() {
      return answered;
    },
    get refused() {
      return refused;
    },
    close,
  };
}
