import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type AgentOptions, type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { ProxyRefusal } from './transport-failure.js';

/** A proxy's address and connection options. */
interface ProxyAddress {
  readonly url: URL;
  /** For an https proxy. */
  readonly tls: ConnectionOptions;
}

/** HTTPS connections through a proxy's CONNECT tunnel (RFC 9110, 9.3.6). Kept alive for further requests. */
export class TunnelAgent extends Agent {
  readonly #proxy: ProxyAddress;
  readonly #timeoutMs: number;
  readonly #asking = new Set<ClientRequest>();

  /** `timeoutMs`: the time the proxy has to open a tunnel. */
  constructor(proxy: ProxyAddress, timeoutMs: number, options: AgentOptions) {
    super(options);
    this.#proxy = proxy;
    this.#timeoutMs = timeoutMs;
  }

  /** Called by node for each new connection. */
  override createConnection(options: RequestOptions, done: (error: Error | null, stream?: Duplex) => void): undefined {
    this.#tunnel(options).then(
      (socket) => done(null, connectTls({ ...(options as ConnectionOptions), socket })),
      (error: unknown) => done(error as Error),
    );
  }

  override destroy(): void {
    for (const request of this.#asking) request.destroy();
    super.destroy();
  }

  async #tunnel({ host, port }: RequestOptions): Promise<Socket> {
    const target = `${host?.includes(':') === true ? `[${host}]` : host}:${port}`;
    const { url, tls } = this.#proxy;
    const { protocol, hostname, port: proxyPort, username, password } = url;
    const secure = protocol === 'https:';
    const request = (secure ? httpsRequest : httpRequest)({
      method: 'CONNECT',
      host: hostname.replace(/^\[|\]$/g, ''),
      port: proxyPort === '' ? (secure ? 443 : 80) : proxyPort,
      path: target,
      headers: { host: target, ...(username === '' && password === '' ? {} : basicLogin(username, password)) },
      agent: false,
      ...tls,
    });
    const timer = setTimeout(() => request.destroy(new ProxyRefusal('silent')), this.#timeoutMs);
    this.#asking.add(request);
    try {
      request.end();
      const [response, socket] = (await once(request, 'connect')) as [IncomingMessage, Socket];
      if (response.statusCode === 200) return socket;
      socket.destroy();
      throw new ProxyRefusal(response.statusCode ?? 0);
    } finally {
      clearTimeout(timer);
      this.#asking.delete(request);
    }
  }
}

function basicLogin(username: string, password: string): { readonly 'proxy-authorization': string } {
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(login, 'utf8').toString('base64')}` };
}
