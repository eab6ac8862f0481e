import { once } from 'node:events';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { TransportError } from '../../lib/errors.js';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../lib/http/index.js';
import { rejection } from '../helpers/rejection.js';
import { startScript } from '../helpers/scripted-registry.js';
import { makeAuthority, type KeyPair, type TestAuthority } from '../helpers/test-authority.js';

const { signal } = new AbortController();

describe('http over TLS', () => {
  let authority: TestAuthority;
  let good: KeyPair;
  before(async () => {
    authority = await makeAuthority();
    good = await authority.issue('IP:127.0.0.1,IP:0.0.0.0,DNS:localhost');
  });
  after(() => authority.close());

  let closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    closing = [];
  });
  async function serve(options: ServerOptions): Promise<{ server: Server; port: number }> {
    const server = createServer(options, (_request, response) => response.end('ok'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return { server, port: (server.address() as AddressInfo).port };
  }
  function client(options: HttpClientOptions): HttpClient {
    const http = createHttpClient({ retries: 0, ...options });
    closing.push(() => http.close());
    return http;
  }
  const get = async (http: HttpClient, url: string): Promise<string> =>
    (await http.request({ method: 'GET', url, signal })).body.toString();

  it('trusts a private authority for a name (told to the server) and for an address', async () => {
    const { server, port } = await serve(good);
    const names: unknown[] = [];
    server.on('secureConnection', (socket: TLSSocket) => names.push((socket as { servername?: unknown }).servername));
    const http = client({ tls: () => ({ ca: [authority.ca] }) });
    expect(await get(http, `https://localhost:${port}/`)).to.equal('ok');
    expect(await get(http, `https://127.0.0.1:${port}/`)).to.equal('ok');
    expect(names).to.deep.equal(['localhost', false]);
  });

  it('keeps its trust to the host it was said for', async () => {
    const { port } = await serve(good);
    const http = client({ tls: (host) => (host === `localhost:${port}` ? { ca: [authority.ca] } : undefined) });
    expect(await get(http, `https://localhost:${port}/`)).to.equal('ok');
    const error = await rejection(get(http, `https://127.0.0.1:${port}/`));
    expect(error.message).to.match(/^127\.0\.0\.1:\d+ cannot be trusted: its certificate is signed by an unknown/);
  });

  const failures: readonly {
    readonly name: string;
    readonly names: string;
    readonly days?: number;
    readonly trusted: boolean;
    readonly message: RegExp;
    readonly hint: RegExp;
  }[] = [
    {
      name: 'an unknown authority',
      names: 'IP:127.0.0.1',
      trusted: false,
      message: /signed by an unknown authority$/,
      hint: /--cert-dir/,
    },
    {
      name: 'an expired certificate',
      names: 'IP:127.0.0.1',
      days: -1,
      trusted: true,
      message: /certificate has expired$/,
      hint: /clock/,
    },
    {
      name: 'a certificate for another name',
      names: 'DNS:registry.example',
      trusted: true,
      message: /its certificate is for DNS:registry\.example$/,
      hint: /use a name/,
    },
  ];
  for (const { name, names, days, trusted, message, hint } of failures)
    it(`says clearly what is wrong with ${name}, and accepts it unverified with a warning`, async () => {
      const { port } = await serve(await authority.issue(names, days));
      const ca = trusted ? { ca: [authority.ca] } : {};
      const error = await rejection(get(client({ tls: () => ca }), `https://127.0.0.1:${port}/`));
      expect(error).to.be.instanceOf(TransportError);
      expect((error as TransportError).phase).to.equal('tls');
      expect(error.message).to.match(message);
      expect((error as TransportError).hint).to.match(hint);

      const warnings: string[] = [];
      const warn = (line: string): void => void warnings.push(line);
      const lax = client({ tls: () => ({ ...ca, verify: false }), warn });
      for (let i = 0; i < 2; i++) expect(await get(lax, `https://0.0.0.0:${port}/`)).to.equal('ok');
      expect(warnings).to.deep.equal([
        `warning: the connection to 0.0.0.0:${port} uses HTTPS without a trusted certificate`,
      ]);
    });

  it('warns of a certificate that cannot be trusted on this machine too: anyone here may listen there', async () => {
    const { port } = await serve(await authority.issue('DNS:registry.example'));
    const warnings: string[] = [];
    const lax = client({ tls: () => ({ verify: false }), warn: (line) => void warnings.push(line) });
    expect(await get(lax, `https://127.0.0.1:${port}/`)).to.equal('ok');
    expect(warnings).to.deep.equal([
      `warning: the connection to 127.0.0.1:${port} uses HTTPS without a trusted certificate`,
    ]);
  });

  it('has nothing to warn of where the certificate is good', async () => {
    const { port } = await serve(good);
    const warnings: string[] = [];
    const warn = (line: string): void => void warnings.push(line);
    await get(client({ tls: () => ({ ca: [authority.ca], verify: false }), warn }), `https://0.0.0.0:${port}/`);
    expect(warnings).to.deep.equal([]);
  });

  it('warns of plain http, but not on the loopback range', async () => {
    const server = await startScript([{ method: 'GET', path: '/', times: 3, reply: {} }]);
    closing.push(() => server.close());
    const warnings: string[] = [];
    const http = client({ warn: (line) => warnings.push(line) });
    const port = new URL(server.url).port;
    for (const host of ['127.0.0.1', '0.0.0.0', '0.0.0.0']) await get(http, `http://${host}:${port}/`);
    expect(warnings).to.deep.equal([
      `warning: the connection to 0.0.0.0:${port} uses plain HTTP, which is not encrypted`,
    ]);
  });

  it('says that a host speaks plain http where https was asked', async () => {
    const server = await startScript();
    closing.push(() => server.close());
    const error = await rejection(get(client({}), `https://${server.host}/`));
    expect(error.message).to.match(/does not speak HTTPS; it seems to use plain HTTP$/);
  });

  it('shows a client certificate, and says so when the host wants one', async () => {
    const mutual = { ca: authority.ca, requestCert: true, rejectUnauthorized: true };
    const { server, port } = await serve({ ...good, ...mutual });
    const seen: unknown[] = [];
    server.on('secureConnection', (socket: TLSSocket) => seen.push(socket.getPeerCertificate().subject.CN));
    const own = await authority.issue('DNS:client');
    const url = `https://127.0.0.1:${port}/`;
    expect(await get(client({ tls: () => ({ ca: [authority.ca], ...own }) }), url)).to.equal('ok');
    expect(seen).to.have.length(1);
    const error = await rejection(get(client({ tls: () => ({ ca: [authority.ca] }) }), url));
    expect(error.message).to.match(/requires a client certificate$/);
    expect((error as TransportError).hint).to.match(/client\.cert and client\.key/);
    const mutualClient = client({ tls: () => ({ ca: [authority.ca], ...own }) });
    const { signal } = new AbortController();
    const hidden = await rejection(mutualClient.request({ method: 'GET', url, signal, anonymous: true, retries: 0 }));
    expect(hidden.message).to.match(/requires a client certificate$/);
    expect(seen).to.have.length(1);
  });

  it('names the host whose certificates cannot be used', async () => {
    const other = await authority.issue('DNS:client');
    const tls = { cert: other.cert, key: good.key };
    const error = await rejection(get(client({ tls: () => tls }), 'https://127.0.0.1:1/'));
    expect(error.message).to.match(/^cannot use the certificates for 127\.0\.0\.1:1: /);
  });
});
