import { createHash, randomBytes } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../lib/http/index.js';
import { listenOnLoopback } from '../helpers/loopback-server.js';
import { makeAuthority, type KeyPair, type TestAuthority } from '../helpers/test-authority.js';

const { signal } = new AbortController();
const MIB = 1024 * 1024;

describe('http: large bodies', () => {
  let authority: TestAuthority;
  let pair: KeyPair;
  before(async () => {
    authority = await makeAuthority();
    pair = await authority.issue('IP:127.0.0.1');
  });
  after(() => authority.close());

  let closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
    closing = [];
  });
  const serve = async (server: Server): Promise<string> => {
    const { host, close } = await listenOnLoopback(server);
    closing.push(close);
    return host;
  };
  const client = (options: HttpClientOptions = {}): HttpClient => {
    const http = createHttpClient({ retries: 0, tls: () => ({ ca: [authority.ca] }), ...options });
    closing.push(() => http.close());
    return http;
  };

  for (const [scheme, piece] of [
    ['http', 256 * 1024],
    ['https', 16 * 1024],
  ] as const) {
    const start = async (listener: RequestListener): Promise<string> => {
      const server = scheme === 'http' ? createServer(listener) : createTlsServer(pair, listener);
      return `${scheme}://${await serve(server)}`;
    };

    it(`come over ${scheme} as they were sent, in larger pieces than node reads, on connections used again`, async () => {
      const blobs = Array.from({ length: 3 }, () => randomBytes(24 * MIB + 1234));
      const connections = new Set<unknown>();
      const url = await start(({ url: path, socket }, response) => {
        connections.add(socket);
        response.end(blobs[Number(path!.slice(1))]);
      });
      const http = client();
      let largest = 0;
      const fetch = async (i: number): Promise<void> => {
        const { body } = await http.stream({ method: 'GET', url: `${url}/${i}`, signal });
        const hash = createHash('sha256');
        for await (const chunk of body as AsyncIterable<Buffer>) {
          largest = Math.max(largest, chunk.length);
          // What comes meanwhile must not take this one's place.
          await sleep(1);
          hash.update(chunk);
        }
        expect(hash.digest('hex')).to.equal(createHash('sha256').update(blobs[i]!).digest('hex'));
      };
      for (let round = 0; round < 3; round++) await Promise.all(blobs.map((_blob, i) => fetch(i)));
      expect(connections.size).to.equal(3);
      expect(largest).to.be.greaterThan(piece);
      const small = await http.request({ method: 'GET', url: `${url}/0`, signal }, { maxBytes: 10 });
      expect(small.body.equals(blobs[0]!.subarray(0, 10))).to.equal(true);
    });

    it(`end with their connection over ${scheme} where nothing else tells their length`, async () => {
      const blob = randomBytes(300_000);
      const url = await start((_request, response) => {
        response.shouldKeepAlive = false;
        response.useChunkedEncodingByDefault = false;
        response.removeHeader('transfer-encoding');
        response.end(blob);
      });
      const { body } = await client().request({ method: 'GET', url: `${url}/`, signal });
      expect(body.equals(blob)).to.equal(true);
    });
  }

  it('bring what came together with the end of the connection', async () => {
    const server = createTcpServer((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
    });
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    closing.push(() => new Promise((resolve) => server.close(resolve)));
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
    expect((await client().request({ method: 'GET', url, signal })).body.toString()).to.equal('all of it');
  });

  it('are not taken for stalled while a server takes them slowly, however large the pieces are', async () => {
    let taken = 0;
    const url = await serve(
      createServer((request, response) => {
        void (async () => {
          for await (const chunk of request as AsyncIterable<Buffer>) {
            taken += chunk.length;
            await sleep(5);
          }
          response.end();
        })();
      }),
    );
    const body = (): Readable => Readable.from([Buffer.alloc(40 * MIB)], { objectMode: false });
    const headers = { 'content-length': String(40 * MIB) };
    const http = client({ timeouts: { stallMs: 2500 } });
    const { status } = await http.request({ method: 'PUT', url: `http://${url}/`, body, headers, signal });
    expect(status).to.equal(200);
    expect(taken).to.equal(40 * MIB);
    expect(http.statistics.bytesSent).to.equal(40 * MIB);
  });
});
