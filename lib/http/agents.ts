import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { TransportError } from '../errors.js';
import { systemAuthorities } from './authorities.js';
import { closeOnSurplus, repairHeads } from './kept-connections.js';
import { readLarge } from './large-reads.js';
import type { HttpClientOptions, TlsOptions } from './types.js';

/** What looking up, connecting and TLS may take each, unless said otherwise. */
export const CONNECT_MS = 15_000;

/** The connections to use for a URL. */
export interface Route {
  readonly agent: HttpAgent;
  /** `host[:port]` of the proxy the connections go through. */
  readonly proxy: string | undefined;
  /** What the owner of the client said about TLS with this host. */
  readonly tls: TlsOptions | undefined;
}

/** Which connections to use. */
export interface RouteOptions {
  /** Without a certificate of ours. */
  readonly anonymous?: boolean | undefined;
  /** Each serves one request, and the head of its answer is repaired. */
  readonly repaired?: boolean | undefined;
}

/** What of a client's options its connections depend on. */
type AgentsOptions = Pick<HttpClientOptions, 'tls' | 'proxy' | 'timeouts' | 'limitRate'>;

/** The kept connections of a client: one pool for each scheme, host and proxy. */
export class Agents {
  readonly #options: AgentsOptions;
  readonly #routes = new Map<string, Promise<Route>>();
  readonly #open: HttpAgent[] = [];

  constructor(options: AgentsOptions) {
    this.#options = options;
  }

  /**
   * The connections for `url`. Throws TransportError when its certificates or proxy cannot be used.
   */
  route(url: URL, { anonymous = false, repaired = false }: RouteOptions = {}): Promise<Route> {
    const key = `${anonymous ? 'anonymous ' : ''}${repaired ? 'repaired ' : ''}${url.origin}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      route = this.#make(url, { anonymous, repaired });
      this.#routes.set(key, route);
    }
    return route;
  }

  /** Ends the idle connections, and those that wait for a proxy's tunnel. */
  close(): void {
    for (const agent of this.#open) agent.destroy();
  }

  async #make(url: URL, { anonymous, repaired }: RouteOptions): Promise<Route> {
    const secure = url.protocol === 'https:';
    const given = secure ? this.#options.tls?.(url.host) : undefined;
    const tls = anonymous === true ? withoutOwn(given) : given;
    const proxy = this.#options.proxy?.(url);
    const options = { keepAlive: repaired !== true, ...(secure ? secureOptions(url.host, tls) : {}) };
    const timeoutMs = 2 * (this.#options.timeouts?.connectMs ?? CONNECT_MS);
    let agent: HttpAgent;
    if (proxy !== undefined) agent = await proxyAgent(proxy, secure, timeoutMs, options);
    else agent = secure ? new HttpsAgent(options) : new HttpAgent(options);
    if (repaired === true) repairHeads(agent);
    else closeOnSurplus(agent);
    // A rate is kept to in small steps.
    if (proxy === undefined && this.#options.limitRate === undefined) readLarge(agent);
    this.#open.push(agent);
    return { agent, proxy: proxy === undefined ? undefined : new URL(proxy).host, tls };
  }
}

function withoutOwn({ cert: _cert, key: _key, ...trust }: TlsOptions = {}): TlsOptions {
  return trust;
}

/** A tunnel (CONNECT) for https; plain http is forwarded by absolute URL, as many proxies tunnel to few ports only. */
async function proxyAgent(proxy: string, secure: boolean, timeoutMs: number, options: object): Promise<HttpAgent> {
  const url = new URL(proxy);
  const tls = url.protocol === 'https:' ? secureOptions(url.host, undefined) : {};
  if (secure) return new (await import('./tunnel-agent.js')).TunnelAgent({ url, tls }, timeoutMs, options);
  // Old proxies (tinyproxy 1.11) pass the registry's keep-alive on and close all the same.
  // Bundled, a CommonJS package has nothing but its default.
  return new (await import('http-proxy-agent')).default.HttpProxyAgent(proxy, { ...options, ...tls, keepAlive: false });
}

/** Made once for a host: parsing the system's authorities for each connection would cost more than the handshake. */
function secureOptions(
  host: string,
  tls: TlsOptions | undefined,
): { readonly secureContext: SecureContext; readonly rejectUnauthorized: boolean } {
  const own = tls?.ca ?? [];
  const system = systemAuthorities();
  try {
    const secureContext = createSecureContext({
      ...(system === undefined ? {} : { ca: [...system, ...own] }),
      ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined ? {} : { key: tls.key }),
    });
    if (system === undefined) for (const text of own) addAuthority(secureContext, text);
    return { secureContext, rejectUnauthorized: tls?.verify ?? true };
  } catch (cause) {
    const why = (cause as Error).message.replace(/\s+/g, ' ').slice(0, 200);
    throw new TransportError(`the certificates for ${host} cannot be used: ${why}`, {
      host,
      phase: 'tls',
      hint: 'they must be PEM, and the key must belong to the certificate and have no passphrase',
      cause,
    });
  }
}

/** `ca` would replace node's own list; a context made without it can be added to. */
function addAuthority(context: SecureContext, text: string): void {
  (context.context as { addCACert(pem: string): void }).addCACert(text);
}
