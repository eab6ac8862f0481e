import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { createRegistryClient, type RegistryClient } from '../../lib/registry/index.js';
import { digestOf, type Descriptor } from '../../lib/spec/index.js';
import { Readable } from 'node:stream';

const { signal } = new AbortController();
const SECRETS = [
  'meta-secret',
  'pass-secret',
  'token-secret',
  'cookie-secret',
  Buffer.from('me:pass-secret').toString('base64'),
];
const bytes = Buffer.from('a small blob');
const blob: Descriptor = { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length };

interface Recorded {
  readonly text: string;
  readonly authorized: boolean;
  /** Of the headers. */
  readonly names: readonly string[];
}

/** A registry that sends everything on to another host, which notes all it gets and asks for more (cases 22 and 23). */
describe('secrets stay with the registry', () => {
  for (const scheme of ['Basic', 'Bearer'] as const)
    describe(scheme, () => {
      let registry: Server;
      let other: Server;
      let client: RegistryClient;
      let atRegistry: Recorded[];
      let atOther: Recorded[];
      let challenge: string;
      beforeEach(async () => {
        [atRegistry, atOther] = [[], []];
        other = await serve(async (request, respond) => {
          atOther.push(await record(request));
          // Whoever answers this gives the password away.
          const asking = { 'www-authenticate': 'Basic realm="x"', 'set-cookie': 'a=b' };
          if (/401/.test(request.url ?? '')) respond(401, asking);
          else if (request.url === '/away') respond(302, { location: '/got', 'set-cookie': 'a=cookie-secret' });
          else respond(request.method === 'PUT' ? 201 : 200, {}, request.method === 'GET' ? bytes : '');
        });
        registry = await serve(async (request, respond) => {
          const { url = '', headers, method } = request;
          atRegistry.push(await record(request));
          if (url.startsWith('/token')) return respond(200, {}, '{"token":"token-secret"}');
          if (headers.authorization === undefined) return respond(401, { 'www-authenticate': challenge });
          const away = `${baseOf(other)}${url.split('?')[0]}`;
          if (url.includes('/tags/')) return respond(200, { link: `<${away}/401>; rel="next"` }, '{"tags":["1"]}');
          if (url.includes('/none/')) return respond(404, { 'docker-distribution-api-version': 'registry/2.0' });
          const location = url.includes('refused') ? `${away}/401` : away;
          respond(method === 'POST' ? 202 : 307, { location, 'set-cookie': 'session=cookie-secret' });
        });
        challenge = scheme === 'Basic' ? 'Basic realm="r"' : `Bearer realm="${baseOf(registry)}/token",service="s"`;
        client = createRegistryClient({
          retries: 0,
          requestHeaders: () => Promise.resolve({ 'x-meta-team': 'meta-secret' }),
          credentials: () => Promise.resolve({ username: 'me', password: 'pass-secret', source: 'a file' }),
        });
      });
      afterEach(async () => {
        await client.close();
        for (const server of [registry, other]) {
          server.closeAllConnections();
          server.close();
          await once(server, 'close');
        }
      });

      const host = (): string => baseOf(registry).slice('http://'.length);
      const check = (): void => {
        expect(atRegistry.some(({ authorized }) => authorized)).to.equal(true);
        const asked = atRegistry.filter(({ text }) => text.startsWith('/v2/'));
        expect(asked.every(({ text }) => text.includes('meta-secret'))).to.equal(true);
        expect(atOther.length).to.be.greaterThan(0);
        for (const { text, authorized } of atOther) {
          expect(authorized).to.equal(false);
          for (const secret of SECRETS) expect(text).to.not.include(secret);
        }
      };

      for (const repository of ['a/b', 'a/refused'])
        it(`when ${repository} redirects blobs and manifests`, async () => {
          const reader = await client.open({ host: host(), repository }, { signal });
          const opened = await reader
            .blob(blob)
            .open({ signal })
            .catch(() => undefined);
          opened?.body.destroy();
          await reader.manifest({ tag: '1' }, { signal }).catch(() => undefined);
          await reader.resolve({ tag: '1' }, { signal }).catch(() => undefined);
          check();
        });

      for (const repository of ['a/b', 'a/refused'])
        it(`when ${repository} takes uploads elsewhere`, async () => {
          const writer = await client.openWriter({ host: host(), repository }, { signal, mountFrom: ['c/d'] });
          const open = (): Promise<Readable> => Promise.resolve(Readable.from([bytes]));
          await writer.mountBlob(blob.digest, 'c/d', { signal }).catch(() => undefined);
          await writer.uploadBlob({ descriptor: blob, open }, { signal }).catch(() => undefined);
          check();
        });

      it('when the URL of a non-distributable layer redirects to another host', async () => {
        const urls = [`http://me:pass-secret@${baseOf(other).slice(7)}/401`, `${baseOf(other)}/away`, baseOf(other)];
        const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
        const reader = await client.open({ host: host(), repository: 'a/none' }, { signal });
        const opened = await reader.blob({ ...blob, mediaType, urls }).open({ signal });
        expect(Buffer.concat(await opened.body.toArray())).to.deep.equal(bytes);
        check();
        expect(atOther.map(({ text }) => text.split('\n')[0])).to.deep.equal(['/401', '/away', '/got']);
        for (const { names } of atOther)
          expect(names).to.deep.equal(['accept-encoding', 'connection', 'host', 'user-agent']);
      });

      it('when the list of tags goes on elsewhere', async () => {
        const reader = await client.open({ host: host(), repository: 'a/b' }, { signal });
        try {
          for await (const _tag of reader.tags({ signal }));
        } catch {
          // Whether it is followed does not matter here.
        }
        for (const { text, authorized } of atOther) {
          expect(authorized).to.equal(false);
          for (const secret of SECRETS) expect(text).to.not.include(secret);
        }
      });
    });
});

type Respond = (status: number, headers: Record<string, string>, body?: string | Buffer) => void;

async function serve(handle: (request: IncomingMessage, respond: Respond) => Promise<void>): Promise<Server> {
  const server = createServer((request, response) => {
    const respond: Respond = (status, headers, body = '') => void response.writeHead(status, headers).end(body);
    handle(request, respond).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function record(request: IncomingMessage): Promise<Recorded> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const { url, rawHeaders, headers } = request;
  const text = [url, ...rawHeaders, Buffer.concat(chunks).toString()].join('\n');
  const authorized = headers.authorization !== undefined || headers.cookie !== undefined;
  return { text, authorized, names: Object.keys(headers).sort() };
}

function baseOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
