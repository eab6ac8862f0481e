import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { RegistryError, TransportError } from '../../lib/errors.js';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../lib/http/index.js';
import { startScript, type ScriptedServer, type Step } from '../helpers/scripted-registry.js';
import { freePort } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { settle } from '../helpers/settle.js';

const { signal } = new AbortController();

describe('http client', () => {
  let servers: ScriptedServer[] = [];
  let clients: HttpClient[] = [];
  afterEach(async () => {
    const [running, open] = [servers, clients];
    servers = [];
    clients = [];
    for (const client of open) await client.close();
    for (const server of running) await server.close();
    for (const server of running) server.verify();
  });
  const serve = async (...steps: Step[]): Promise<ScriptedServer> => {
    const server = await startScript(steps);
    servers.push(server);
    return server;
  };
  const client = (options: HttpClientOptions = {}): HttpClient => {
    const made = createHttpClient({ backoffBaseMs: 5, ...options });
    clients.push(made);
    return made;
  };
  const get = (http: HttpClient, url: string, more: object = {}): ReturnType<HttpClient['request']> =>
    http.request({ method: 'GET', url, signal, ...more });

  it('asks for bytes as they are and tells who it is', async () => {
    const server = await serve({
      method: 'GET',
      path: '/x?a=1',
      expect: {
        'accept-encoding': 'identity',
        'user-agent': 'tester/1',
        accept: 'text/plain',
        authorization: undefined,
      },
      reply: { body: 'hello', headers: { 'x-y': 'z' } },
    });
    const http = client({ userAgent: 'tester/1' });
    const response = await get(http, `${server.url}/x?a=1`, { headers: { accept: 'text/plain' } });
    expect(response.status).to.equal(200);
    expect(response.headers['x-y']).to.equal('z');
    expect(response.body.toString()).to.equal('hello');
    expect(http.statistics).to.deep.equal({ requests: 1, bytesReceived: 5, bytesSent: 0 });
  });

  for (const method of ['POST', 'PUT', 'PATCH'] as const) {
    it(`sends ${method} with and without a body`, async () => {
      const reply = (seen: { body: Buffer }): { body: Buffer } => ({ body: seen.body });
      const server = await serve({ method, path: '/up', reply, times: 3 });
      const http = client();
      const send = async (body?: Uint8Array | (() => Readable)): Promise<string> =>
        (
          await http.request({ method, url: `${server.url}/up`, signal, ...(body === undefined ? {} : { body }) })
        ).body.toString();
      expect(await send()).to.equal('');
      expect(await send(Buffer.from('bytes'))).to.equal('bytes');
      expect(await send(() => Readable.from([Buffer.from('str'), Buffer.from('eam')]))).to.equal('stream');
      expect(server.requests[0]!.headers['content-length']).to.equal('0');
      expect(server.requests[1]!.headers['content-length']).to.equal('5');
      expect(http.statistics.bytesSent).to.equal(11);
    });
  }

  it('caps what it buffers, errors at 64 KiB', async () => {
    const server = await serve(
      { method: 'GET', path: '/big', reply: { body: Buffer.alloc(300_000) } },
      { method: 'GET', path: '/bad', reply: { status: 418, body: Buffer.alloc(300_000) } },
    );
    const http = client();
    const big = await http.request({ method: 'GET', url: `${server.url}/big`, signal }, { maxBytes: 1000 });
    expect([big.body.length, big.truncated]).to.deep.equal([1000, true]);
    const bad = await get(http, `${server.url}/bad`);
    expect([bad.body.length, bad.truncated]).to.deep.equal([65536, true]);
  });

  describe('retries', () => {
    for (const status of [408, 429, 500, 502, 503, 504]) {
      it(`tries again after ${status}`, async () => {
        const server = await serve(
          { method: 'GET', path: '/', reply: { status, body: 'busy' }, times: 2 },
          { method: 'GET', path: '/', reply: { body: 'ok' } },
        );
        expect((await get(client(), `${server.url}/`)).body.toString()).to.equal('ok');
      });
    }
    for (const status of [400, 401, 403, 404, 409, 416, 501]) {
      it(`takes ${status} as the answer`, async () => {
        const server = await serve({ method: 'GET', path: '/', reply: { status } });
        expect((await get(client(), `${server.url}/`)).status).to.equal(status);
      });
    }

    it('gives up after the given number and hands over the last answer', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { status: 503, body: 'why' }, times: 3 });
      const response = await get(client({ retries: 2 }), `${server.url}/`);
      expect([response.status, response.body.toString()]).to.deep.equal([503, 'why']);
    });

    it('tries again after a reset connection, and again from a stream body opened anew', async () => {
      let opened = 0;
      const server = await serve(
        { method: 'PUT', path: '/', reply: { reset: true } },
        { method: 'PUT', path: '/', reply: (seen) => ({ body: seen.body }) },
      );
      const body = (): Readable => {
        opened++;
        return Readable.from([Buffer.from('data')]);
      };
      const response = await client().request({ method: 'PUT', url: `${server.url}/`, body, signal });
      expect([response.body.toString(), opened]).to.deep.equal(['data', 2]);
    });

    it('waits as long as Retry-After says, in seconds', async () => {
      const server = await serve(
        { method: 'GET', path: '/', reply: { status: 429, headers: { 'retry-after': '1' } } },
        { method: 'GET', path: '/', reply: {} },
      );
      const started = Date.now();
      await get(client(), `${server.url}/`);
      expect(Date.now() - started).to.be.within(950, 60_000);
    });

    it('holds back other requests to a host that asked for a pause', async () => {
      const server = await serve(
        { method: 'GET', path: '/a', reply: { status: 429, headers: { 'retry-after': '0.4' } } },
        { method: 'GET', path: '/a', reply: {} },
        { method: 'GET', path: '/b', reply: {} },
      );
      const http = client();
      const started = Date.now();
      const first = get(http, `${server.url}/a`);
      while (server.requests.length === 0) await sleep(5);
      await settle();
      await get(http, `${server.url}/b`);
      expect(Date.now() - started).to.be.greaterThan(390);
      await first;
    });

    it('does not sleep through a Retry-After of an hour', async () => {
      const server = await serve({
        method: 'GET',
        path: '/',
        reply: { status: 429, headers: { 'retry-after': '3600' } },
      });
      expect((await get(client(), `${server.url}/`)).status).to.equal(429);
    });

    it('ends a wait at once when aborted', async () => {
      const server = await serve({
        method: 'GET',
        path: '/',
        reply: { status: 503, headers: { 'retry-after': '60' } },
      });
      const controller = new AbortController();
      const running = get(client(), `${server.url}/`, { signal: controller.signal });
      while (server.requests.length === 0) await sleep(5);
      await settle();
      const started = Date.now();
      controller.abort();
      expect((await rejection(running)).name).to.equal('AbortError');
      expect(Date.now() - started).to.be.lessThan(30_000);
    });

    it('buffers a body again that was cut', async () => {
      const server = await serve(
        { method: 'GET', path: '/', reply: { body: 'hello world', cutAt: 5 } },
        { method: 'GET', path: '/', reply: { body: 'hello world' } },
      );
      expect((await get(client(), `${server.url}/`)).body.toString()).to.equal('hello world');
    });
  });

  describe('redirects', () => {
    it('follows them, on the same host with all headers', async () => {
      const server = await serve(
        { method: 'GET', path: '/a', reply: { status: 307, headers: { location: '/b' } } },
        {
          method: 'GET',
          path: '/b',
          expect: { authorization: 'Basic x' },
          reply: { status: 302, headers: { location: 'c?d' } },
        },
        {
          method: 'GET',
          path: '/c?d',
          expect: { authorization: 'Basic x', range: 'bytes=1-' },
          reply: { body: 'there' },
        },
      );
      const headers = { authorization: 'Basic x', range: 'bytes=1-' };
      const response = await get(client(), `${server.url}/a`, { headers });
      expect(response.body.toString()).to.equal('there');
      expect(response.url).to.equal(`${server.url}/c?d`);
    });

    it('sends no credentials to another host (CVE-2020-15157)', async () => {
      const other = await serve({
        method: 'GET',
        path: '/blob',
        expect: { authorization: undefined, cookie: undefined, 'x-kept': 'yes' },
        reply: { body: 'blob' },
      });
      const location = `http://user:secret@${other.host}/blob`;
      const server = await serve({ method: 'GET', path: '/', reply: { status: 307, headers: { location } } });
      const headers = { Authorization: 'Bearer t', cookie: 'c', 'x-kept': 'yes' };
      expect((await get(client(), `${server.url}/`, { headers })).body.toString()).to.equal('blob');
    });

    it('sends a body again for 307 and drops it for 303', async () => {
      const server = await serve(
        { method: 'PUT', path: '/a', reply: { status: 307, headers: { location: '/b' } } },
        { method: 'PUT', path: '/b', reply: { status: 303, headers: { location: '/c' } } },
        { method: 'GET', path: '/c', reply: {} },
      );
      await client().request({ method: 'PUT', url: `${server.url}/a`, body: Buffer.from('body'), signal });
      expect(server.requests.map(({ body }) => body.toString())).to.deep.equal(['body', 'body', '']);
    });

    const refused: { name: string; location: string; why: RegExp; times?: number }[] = [
      { name: 'a loop', location: '/', why: /in a loop/ },
      { name: 'another scheme', location: 'file:///etc/passwd', why: /not http/ },
      { name: 'no URL', location: 'http://[', why: /an invalid URL/ },
    ];
    for (const { name, location, why } of refused) {
      it(`refuses ${name} (case 31)`, async () => {
        const server = await serve({ method: 'GET', path: '/', reply: { status: 302, headers: { location } } });
        const error = await rejection(get(client(), `${server.url}/`));
        expect(error).to.be.instanceOf(TransportError);
        expect(error.message).to.match(why);
      });
    }

    it('gives up after 10 of them (case 31)', async () => {
      const steps = Array.from({ length: 10 }, (_, i) => ({
        method: 'GET',
        path: `/${i}`,
        reply: { status: 302, headers: { location: `/${i + 1}` } },
      }));
      const server = await serve(...steps);
      expect((await rejection(get(client(), `${server.url}/0`))).message).to.match(/more than 10 times/);
    });
  });

  describe('queue', () => {
    it('runs no more transfers at a host than allowed, the slot held until the body ends', async () => {
      let running = 0;
      let most = 0;
      const reply = (): object => {
        most = Math.max(most, ++running);
        return { body: 'x'.repeat(40), pieces: 1 };
      };
      const steps = Array.from({ length: 9 }, (_, i) => ({ method: 'GET', path: `/${i}`, reply }));
      const server = await serve(...steps);
      const http = client({ parallel: 3 });
      const one = async (index: number): Promise<void> => {
        const { body } = await http.stream({ method: 'GET', url: `${server.url}/${index}`, signal });
        for await (const _chunk of body);
        running--;
      };
      await Promise.all(steps.map((_, index) => one(index)));
      expect(most).to.equal(3);
    });

    it('starts higher priorities first', async () => {
      const steps = [0, 1, 2, 3].map((i) => ({ method: 'GET', path: `/${i}`, reply: { body: 'x' } }));
      const server = await serve(...steps);
      const http = client({ parallel: 1 });
      await Promise.all([0, 1, 5, 3].map((priority, i) => get(http, `${server.url}/${i}`, { priority })));
      expect(server.requests.map(({ path }) => path)).to.deep.equal(['/0', '/2', '/3', '/1']);
    });

    it('gives the slot back when a body is destroyed and when a request is aborted', async () => {
      const server = await serve(
        { method: 'GET', path: '/a', reply: { body: 'x'.repeat(100), stallAt: 50 }, times: 2 },
        { method: 'GET', path: '/b', reply: { body: 'b' } },
      );
      const http = client({ parallel: 1 });
      (await http.stream({ method: 'GET', url: `${server.url}/a`, signal })).body.destroy();
      const controller = new AbortController();
      const { body } = await http.stream({ method: 'GET', url: `${server.url}/a`, signal: controller.signal });
      controller.abort();
      expect((await rejection(body.toArray())).name).to.equal('AbortError');
      expect((await get(http, `${server.url}/b`)).body.toString()).to.equal('b');
    });

    it('leaves the queue at once when aborted while waiting', async () => {
      const server = await serve({ method: 'GET', path: '/a', reply: { body: 'xx', stallAt: 1 } });
      const http = client({ parallel: 1 });
      const { body } = await http.stream({ method: 'GET', url: `${server.url}/a`, signal });
      const controller = new AbortController();
      const waiting = get(http, `${server.url}/b`, { signal: controller.signal });
      controller.abort();
      expect((await rejection(waiting)).name).to.equal('AbortError');
      body.destroy();
    });
  });

  describe('time', () => {
    it('cuts a body that stalls, with an error that says so (case 31)', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: 'x'.repeat(100), stallAt: 50 } });
      const http = client({ timeouts: { stallMs: 200 } });
      const { body } = await http.stream({ method: 'GET', url: `${server.url}/`, signal });
      const error = await rejection(body.toArray());
      expect(error).to.be.instanceOf(TransportError).and.include({ phase: 'body' });
      expect(error.message).to.match(/stalled/);
    });

    it('does not take a slow reader for a stalled server', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: Buffer.alloc(4 << 20) } });
      const { body } = await client({ timeouts: { stallMs: 100 } }).stream({
        method: 'GET',
        url: `${server.url}/`,
        signal,
      });
      await sleep(400);
      let size = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (size === 0) await sleep(400);
        size += chunk.length;
      }
      expect(size).to.equal(4 << 20);
    });

    it('never cuts a transfer that moves, one byte at a time (case 31)', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: 'x'.repeat(300), pieces: 1 } });
      expect((await get(client({ timeouts: { stallMs: 100 } }), `${server.url}/`)).body.length).to.equal(300);
    });

    it('waits only so long for an answer', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { delayMs: 1000 }, times: 2 });
      const error = await rejection(get(client({ retries: 1, timeouts: { responseMs: 100 } }), `${server.url}/`));
      expect(error).to.be.instanceOf(TransportError).and.include({ phase: 'response' });
      expect(error.message).to.match(/did not answer in time/);
    });

    it('cuts an upload that the server does not take', async () => {
      const server = createServer((request) => request.pause());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const endless = (): Readable => Readable.from(blocks(), { objectMode: false });
      const http = client({ retries: 0, timeouts: { stallMs: 200 } });
      const error = await rejection(http.request({ method: 'PUT', url, body: endless, signal }));
      server.closeAllConnections();
      server.close();
      expect(error).to.be.instanceOf(TransportError);
      expect(error.message).to.match(/stalled/);
    });

    it('keeps to a rate', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: Buffer.alloc(500_000) } });
      const started = Date.now();
      await get(client({ limitRate: 1_000_000 }), `${server.url}/`);
      expect(Date.now() - started).to.be.within(400, 60_000);
    });
  });

  describe('failures', () => {
    const failing = async (url: string, options: HttpClientOptions = {}): Promise<TransportError> => {
      const error = await rejection(get(client(options), url));
      expect(error).to.be.instanceOf(TransportError).and.not.instanceOf(RegistryError);
      return error as TransportError;
    };

    it('unknown host', async () => {
      const error = await failing('http://no-such-host.invalid/');
      expect(error.phase).to.equal('lookup');
      expect(error.message).to.match(/no-such-host\.invalid/);
    });

    it('refused connection: three tries, then an error with a hint', async () => {
      const port = await freePort();
      const http = client();
      const error = await rejection(get(http, `http://127.0.0.1:${port}/`));
      expect(error.message).to.equal(`127.0.0.1:${port} refused the connection`);
      expect((error as TransportError).hint).to.match(/running/);
      expect(http.statistics.requests).to.equal(3);
    });

    it('plain http where https was asked for', async () => {
      const server = await serve();
      const error = await failing(server.url.replace('http:', 'https:'), { retries: 0 });
      expect(error.phase).to.equal('tls');
      expect(error.message).to.match(/plain HTTP/);
      expect(error.hint).to.match(/--tls-verify=false/);
    });

    it('something that is not HTTP', async () => {
      const server = createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n'));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const error = await failing(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { retries: 0 });
      server.close();
      expect(error.message).to.match(/does not answer as an HTTP server/);
    });

    it('a connection closed in the middle of a body', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: 'hello world', cutAt: 5 } });
      const { body } = await client().stream({ method: 'GET', url: `${server.url}/`, signal });
      const error = await rejection(body.toArray());
      expect(error).to.be.instanceOf(TransportError).and.include({ phase: 'body' });
      expect(error.message).to.match(/closed the connection in the middle/);
    });

    it('a Content-Length that promises more than comes (case 31)', async () => {
      const server = await serve({ method: 'GET', path: '/', reply: { body: 'short', contentLength: 50 } });
      const { body } = await client().stream({ method: 'GET', url: `${server.url}/`, signal });
      expect(await rejection(body.toArray())).to.be.instanceOf(TransportError);
    });
  });

  it('logs requests and retries without secrets', async () => {
    const server = await serve(
      { method: 'GET', path: '/x?X-Amz-Signature=abcdef&n=1', reply: { status: 500 } },
      { method: 'GET', path: '/x?X-Amz-Signature=abcdef&n=1', reply: {} },
    );
    const lines: string[] = [];
    await get(client({ log: (line) => lines.push(line) }), `${server.url}/x?X-Amz-Signature=abcdef&n=1`);
    expect(lines).to.have.length(3);
    expect(lines[0]).to.match(/^GET http:\/\/127\.0\.0\.1:\d+\/x\?X-Amz-Signature=\*\*\*&n=1: 500 in \d+ ms$/);
    expect(lines.join()).not.to.contain('abcdef');
  });

  it('tells how many bytes came, and in what time', async () => {
    const server = await serve({ method: 'GET', path: '/', reply: { body: 'hello' } });
    const lines: string[] = [];
    await get(client({ log: (line) => lines.push(line) }), `${server.url}/`);
    while (lines.length < 2) await sleep(5);
    expect(lines[1]).to.match(/^GET http:\/\/127\.0\.0\.1:\d+\/: 200, 5 bytes after \d+ ms$/);
  });
});

function* blocks(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(65536);
}
