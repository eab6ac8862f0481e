import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { TransportError } from '../../lib/errors.js';
import { createHttpClient, KnownHosts, type HttpClient, type HttpClientOptions } from '../../lib/http/index.js';
import { HeadRepair } from '../../lib/http/repair-head.js';
import { rejection } from '../helpers/rejection.js';

const { signal } = new AbortController();
const OK = 'HTTP/1.1 200 OK\r\n';
const LENGTH = 'Content-Length: 5\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** Answers of servers that break the rules of HTTP, as Go's clients take them. */
describe('http client, malformed answers', () => {
  let server: Server | undefined;
  let sockets: Socket[] = [];
  let clients: HttpClient[] = [];
  afterEach(async () => {
    for (const client of clients) await client.close();
    for (const socket of sockets) socket.destroy();
    server?.close();
    [server, sockets, clients] = [undefined, [], []];
  });

  /** Answers each request on a connection by what `answer` gives for its number; resolves with the URL. */
  async function serve(
    answer: (request: string, index: number, socket: Socket) => string | undefined,
  ): Promise<string> {
    let index = 0;
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        const bytes = answer(data.toString('latin1'), index++, socket);
        if (bytes !== undefined) socket.write(Buffer.from(bytes, 'latin1'));
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }
  const client = (options: HttpClientOptions = {}): HttpClient => {
    const made = createHttpClient({ backoffBaseMs: 5, ...options });
    clients.push(made);
    return made;
  };
  const get = async (http: HttpClient, url: string): Promise<string> =>
    (await http.request({ method: 'GET', url, signal })).body.toString();

  const taken: readonly (readonly [what: string, answer: string])[] = [
    ['a Content-Length beside chunks', `${OK}${LENGTH}${CHUNKED}\r\n5\r\nhello\r\n0\r\n\r\n`],
    ['the same Content-Length twice', `${OK}${LENGTH}${LENGTH}\r\nhello`],
    ['the same Content-Length twice in one field', `${OK}Content-Length: 5, 5\r\n\r\nhello`],
    ['lines that end in LF', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello'],
    ['a control character in a value', `${OK}X-Cache: a\x01b\x00c\r\n${LENGTH}\r\nhello`],
    ['a space in a name', `${OK}X-Cache Status: a\r\n${LENGTH}\r\nhello`],
    ['a space before the colon', `${OK}Content-Length : 5\r\n\r\nhello`],
    ['a folded line', `${OK}X-Cache: a\r\n  b\r\n${LENGTH}\r\nhello`],
    ['a line that is no field', `${OK}nothing\r\n${LENGTH}\r\nhello`],
    ['an interim answer first', `HTTP/1.1 103 Early\nLink: x\n\n${OK}${LENGTH}${LENGTH}\r\nhello`],
  ];
  for (const [what, answer] of taken)
    it(`are taken with ${what}: said once, each on a connection that is closed after it`, async () => {
      const url = await serve((request, _index, socket) => {
        socket.end(Buffer.from(answer, 'latin1'));
        expect(request).to.match(sockets.length > 1 ? /Connection: close/i : /Connection: keep-alive/i);
        return undefined;
      });
      const said: string[] = [];
      const knownHosts = new KnownHosts();
      const http = client({ warn: (line) => said.push(line), knownHosts });
      expect([await get(http, url), await get(http, url)]).to.deep.equal(['hello', 'hello']);
      // What one client has learned, another one knows.
      expect(await get(client({ knownHosts }), url)).to.equal('hello');
      expect(said).to.have.length(1);
      expect(said[0]).to.match(/^warning: 127\.0\.0\.1:\d+ sends invalid HTTP responses \(HPE_\w+\)/);
      expect(sockets).to.have.length(4);
    });

  it('are taken with heads of more than 16 KiB, without a word', async () => {
    const url = await serve(() => `${OK}X-Policy: ${'y'.repeat(100_000)}\r\n${LENGTH}\r\nhello`);
    const said: string[] = [];
    const http = client({ warn: (line) => said.push(line) });
    expect([await get(http, url), await get(http, url)]).to.deep.equal(['hello', 'hello']);
    expect(said).to.deep.equal([]);
    expect(sockets).to.have.length(1);
  });

  const refused: readonly (readonly [what: string, answer: string])[] = [
    ['two lengths', `${OK}${LENGTH}Content-Length: 3\r\n\r\nhello`],
    ['a length that is no number', `${OK}Content-Length: +5\r\n\r\nhello`],
    ['a head that does not end', `${OK}X-Policy: ${'y'.repeat(300_000)}`],
  ];
  for (const [what, answer] of refused)
    it(`are refused with ${what}`, async () => {
      const error = await rejection(get(client({ retries: 0 }), await serve(() => answer)));
      expect(error).to.be.instanceOf(TransportError);
      expect(error.message).to.match(/sent an invalid HTTP response \(HPE_\w+\)$/);
    });

  it('cannot pass for the answer to another request (response smuggling)', async () => {
    const smuggled = `${OK}Content-Length: 5\r\n\r\nevil!`;
    const url = await serve((request) =>
      request.startsWith('GET /a')
        ? `${OK}${LENGTH}${CHUNKED}\r\n5\r\nhello\r\n0\r\n\r\n${smuggled}`
        : `${OK}${LENGTH}\r\ngood!`,
    );
    const http = client();
    expect(await get(http, `${url}a`)).to.equal('hello');
    const rest = await Promise.all([1, 2, 3].map((i) => get(http, `${url}${i}`)));
    expect(rest).to.deep.equal(['good!', 'good!', 'good!']);
  });

  it('do not make a request be sent twice that must be sent once', async () => {
    const url = await serve(() => `${OK}${LENGTH}${LENGTH}\r\nhello`);
    const http = client();
    const send = (): ReturnType<HttpClient['request']> =>
      http.request({ method: 'PATCH', url, body: Buffer.from('x'), retries: 0, signal });
    expect(await rejection(send())).to.be.instanceOf(TransportError);
    expect(http.statistics.requests).to.equal(1);
    expect((await send()).body.toString()).to.equal('hello');
  });

  it('are repaired however they are cut, and bodies stay as they are', () => {
    const body = 'HTTP/1.1 200 OK\nnot : a head\n\n';
    const answer = Buffer.from(`HTTP/1.1 200 OK\nA : b\n\n${body}`, 'latin1');
    for (let at = 0; at <= answer.length; at++) {
      const repair = new HeadRepair();
      const pieces = [repair.push(answer.subarray(0, at)), repair.push(answer.subarray(at)), repair.flush()];
      expect(Buffer.concat(pieces).toString('latin1')).to.equal(`HTTP/1.1 200 OK\r\nA: b\r\n\r\n${body}`);
    }
    const other = new HeadRepair();
    expect(other.push(Buffer.from('SSH-2.0-x\n\n')).toString()).to.equal('SSH-2.0-x\n\n');
  });

  describe('to HEAD', () => {
    const found = `HTTP/1.1 404 Not Found\r\n${LENGTH}\r\n`;
    const head = async (http: HttpClient, url: string): Promise<number> =>
      (await http.request({ method: 'HEAD', url, signal })).status;

    it('with a body are taken at once, without the body', async () => {
      const url = await serve(() => `${found}hello`);
      const http = client({ retries: 0 });
      const response = await http.request({ method: 'HEAD', url, signal });
      expect([response.status, response.body.length]).to.deep.equal([404, 0]);
      expect([await head(http, url), await head(http, url)]).to.deep.equal([404, 404]);
      expect(http.statistics.requests).to.equal(3);
    });

    it('without one leave the connection for the next request', async () => {
      const url = await serve(() => found);
      const http = client();
      for (let i = 0; i < 3; i++) expect(await head(http, url)).to.equal(404);
      expect(sockets).to.have.length(1);
    });

    it('whose body comes while the connection is idle are no answers to the next request', async () => {
      const closed: Promise<unknown>[] = [];
      const url = await serve((request, _index, socket) => {
        if (request.startsWith('GET')) return `${OK}${LENGTH}\r\ngood!`;
        socket.setNoDelay(true);
        closed.push(once(socket, 'close'));
        setTimeout(() => socket.write(`${OK}${LENGTH}\r\nevil!`), 10);
        return found;
      });
      const http = client();
      expect(await head(http, url)).to.equal(404);
      await closed[0];
      expect(await get(http, url)).to.equal('good!');
    });

    it('whose body comes in the place of the next answer cost another connection, not an error', async () => {
      const url = await serve((request, index) => {
        if (request.startsWith('HEAD')) return found;
        return index === 1 ? '{"errors":[]}' : `${OK}${LENGTH}\r\ngood!`;
      });
      const http = client();
      expect(await head(http, url)).to.equal(404);
      expect(await get(http, url)).to.equal('good!');
      expect(sockets).to.have.length(2);
    });
  });
});
