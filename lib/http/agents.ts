import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { TransportError } from '../errors.js';
import { systemAuthorities } from './authorities.js';
import { closeOnSurplus, repairHeads } from './kept-connections.js';
import { readLarge } from './large-reads.js';
import type { HttpClientOptions, TlsOptions } from './types.js';

/** Default limit for each of DNS lookup, connecting and the TLS handshake, in ms. */
export const CONNECT_MS = 15_000;

/** The agent for one URL, and the settings it was created with. */
export interface Route {
  readonly agent: HttpAgent;
  /** `host[:port]` of the proxy in use. */
  readonly proxy: string | undefined;
  /** The client's TLS options for this host. */
  readonly tls: TlsOptions | undefined;
}

export interface RouteOptions {
  /** Present no client certificate. */
  readonly anonymous?: boolean | undefined;
  /** Use each connection for one request only and repair the head of its response (see `HeadRepair`). */
  readonly repaired?: boolean | undefined;
}

/** The client options that affect connections. */
type AgentsOptions = Pick<HttpClientOptions, 'tls' | 'proxy' | 'timeouts' | 'limitRate'>;

/** The keep-alive connections of a client: one pool per scheme, host and proxy. */
export class Agents {
  readonly #options: AgentsOptions;
  readonly #routes = new Map<string, Promise<Route>>();
  readonly #open: HttpAgent[] = [];

  constructor(options: AgentsOptions) {
    this.#options = options;
  }

  /** The agent for `url`. Throws TransportError when the certificates or the proxy are unusable. */
  route(url: URL, { anonymous = false, repaired = false }: RouteOptions = {}): Promise<Route> {
    const key = `${anonymous ? 'anonymous ' : ''}${repaired ? 'repaired ' : ''}${url.origin}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      route = this.#make(url, { anonymous, repaired });
      this.#routes.set(key, route);
    }
    return route;
  }

  /** Closes idle connections and aborts pending proxy tunnels. */
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
    // A rate limit needs small reads to be accurate.
    if (proxy === undefined && this.#options.limitRate === undefined) readLarge(agent);
    this.#open.push(agent);
    return { agent, proxy: proxy === undefined ? undefined : new URL(proxy).host, tls };
  }
}

function withoutOwn({ cert: _cert, key: _key, ...trust }: TlsOptions = {}): TlsOptions {
  return trust;
}

/**
 * HTTPS goes through a CONNECT tunnel. Plain HTTP is forwarded by absolute URL, because many proxies allow tunnels to a
 * few ports only.
 */
async function proxyAgent(proxy: string, secure: boolean, timeoutMs: number, options: object): Promise<HttpAgent> {
  const url = new URL(proxy);
  const tls = url.protocol === 'https:' ? secureOptions(url.host, undefined) : {};
  if (secure) return new (await import('./tunnel-agent.js')).TunnelAgent({ url, tls }, timeoutMs, options);
  // Old proxies (tinyproxy 1.11) forward the registry's keep-alive header but close the connection anyway.
  // In the bundle, a CommonJS package has only a default export.
  return new (await import('http-proxy-agent')).default.HttpProxyAgent(proxy, { ...options, ...tls, keepAlive: false });
}

/** Created once per host: parsing the system's CA bundle for every connection would cost more than the handshake. */
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
    throw new TransportError(`cannot use the certificates for ${host}: ${why}`, {
      host,
      phase: 'tls',
      hint: 'they must be PEM, and the key must belong to the certificate and have no passphrase',
      cause,
    });
  }
}

/** Adds a CA to the context. The option `ca` would replace node's own list instead. */
function addAuthority(context: SecureContext, text: string): void {
  (context.context as { addCACert(pem: string): void }).addCACert(text);
}
