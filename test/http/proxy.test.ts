import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:https';
import { expect } from 'chai';
import { TransportError } from '../../lib/errors.js';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../lib/http/index.js';
import { freePort } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { startScript, type ScriptedServer } from '../helpers/scripted-registry.js';
import { makeAuthority, type TestAuthority } from '../helpers/test-authority.js';
import { startTinyproxy, type Tinyproxy } from '../helpers/tinyproxy.js';

const { signal } = new AbortController();

describe('http through a proxy', () => {
  let authority: TestAuthority;
  let proxy: Tinyproxy;
  let locked: Tinyproxy;
  let plain: ScriptedServer;
  let secure: { readonly port: number; readonly seen: (string | undefined)[]; close(): void };
  before(async () => {
    authority = await makeAuthority();
    [proxy, locked] = await Promise.all([startTinyproxy(), startTinyproxy('alice secret')]);
    const pair = await authority.issue('IP:127.0.0.1');
    const seen: (string | undefined)[] = [];
    const server = createTlsServer(pair, (request, response) => {
      seen.push(request.headers['proxy-authorization']);
      request.resume().once('end', () => response.end(`${request.method} over tls`));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    secure = {
      port: (server.address() as AddressInfo).port,
      seen,
      close: () => {
        server.closeAllConnections();
        server.close();
      },
    };
  });
  after(async () => {
    await Promise.all([proxy.stop(), locked.stop()]);
    authority.close();
    secure.close();
  });
  let http: HttpClient;
  beforeEach(async () => {
    plain = await startScript();
  });
  afterEach(async () => {
    await http.close();
    await plain.close();
    plain.verify();
  });
  function through(address: string, options: HttpClientOptions = {}): HttpClient {
    http = createHttpClient({ retries: 0, proxy: () => address, tls: () => ({ ca: [authority.ca] }), ...options });
    return http;
  }
  const get = async (url: string): Promise<string> =>
    (await http.request({ method: 'GET', url, signal })).body.toString();

  it('forwards plain http by absolute URL and tunnels https, on kept connections', async () => {
    through(`http://${proxy.host}`);
    plain.add({
      method: 'GET',
      path: '/v2/',
      times: 2,
      expect: { 'proxy-authorization': undefined },
      reply: { body: 'plain' },
    });
    const before = proxy.requests().length;
    for (let i = 0; i < 2; i++) expect(await get(`${plain.url}/v2/`)).to.equal('plain');
    for (let i = 0; i < 3; i++) expect(await get(`https://127.0.0.1:${secure.port}/`)).to.equal('GET over tls');
    const request = { method: 'PUT', url: `https://127.0.0.1:${secure.port}/`, signal } as const;
    expect((await http.request({ ...request, body: Buffer.alloc(100_000) })).body.toString()).to.equal('PUT over tls');
    const lines = proxy.requests().slice(before);
    expect(lines.filter((line) => line.startsWith('GET '))).to.deep.equal([
      `GET ${plain.url}/v2/ HTTP/1.1`,
      `GET ${plain.url}/v2/ HTTP/1.1`,
    ]);
    expect(lines.filter((line) => line.startsWith('CONNECT '))).to.deep.equal([
      `CONNECT 127.0.0.1:${secure.port} HTTP/1.1`,
    ]);
  });

  it('gives user and password to the proxy and to nobody else', async () => {
    through(`http://alice:secret@${locked.host}`);
    plain.add({ method: 'GET', path: '/', expect: { 'proxy-authorization': undefined }, reply: { body: 'plain' } });
    expect(await get(`${plain.url}/`)).to.equal('plain');
    expect(await get(`https://127.0.0.1:${secure.port}/`)).to.equal('GET over tls');
    expect(secure.seen.filter((header) => header !== undefined)).to.deep.equal([]);
  });

  for (const login of ['', 'alice:wrong@'])
    it(`says that the proxy wants a password (given: ${login || 'none'})`, async () => {
      const logged: string[] = [];
      through(`http://${login}${locked.host}`, { log: (line) => logged.push(line) });
      const error = await rejection(get(`https://127.0.0.1:${secure.port}/`));
      expect(error).to.be.instanceOf(TransportError);
      expect(error.message).to.match(/^the proxy 127\.0\.0\.1:\d+ requires a user name and password$/);
      expect(logged.join('\n')).to.not.include('wrong');
    });

  it('names the proxy that is not there', async () => {
    through(`http://127.0.0.1:${await freePort()}`);
    for (const url of ['http://registry.example/', 'https://registry.example/']) {
      const error = await rejection(get(url));
      expect(error.message).to.match(/^the proxy 127\.0\.0\.1:\d+ refused the connection$/);
    }
  });

  it('does not wait for ever for a proxy that says nothing', async () => {
    const silent = createServer((socket) => void socket.on('error', () => undefined));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      through(`http://127.0.0.1:${port}`, { timeouts: { connectMs: 100 } });
      const error = await rejection(get('https://registry.example/'));
      expect(error.message).to.equal(`the proxy 127.0.0.1:${port} did not answer in time`);
    } finally {
      silent.close();
    }
  });

  it('does not take the answer of the proxy for that of the registry', async () => {
    const tcp = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.end('HTTP/1.1 403 Forbidden\r\nwww-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n'),
      );
    });
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const { port } = tcp.address() as AddressInfo;
    try {
      through(`http://127.0.0.1:${port}`);
      const error = await rejection(get('https://registry.example/'));
      expect(error.message).to.equal(
        `the proxy 127.0.0.1:${port} does not allow connections to registry.example (status 403)`,
      );
    } finally {
      tcp.close();
    }
  });
});
