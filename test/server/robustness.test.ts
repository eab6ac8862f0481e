import { readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { StoreError, SyscallError } from '../../lib/errors.js';
import { startRegistryServer } from '../../lib/server/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { settle } from '../helpers/settle.js';
import { errorCode, RegistryFixture } from './registry-fixture.js';

describe('server: breaks, crowds and hostile clients', () => {
  let registry: RegistryFixture;
  beforeEach(async () => {
    registry = await RegistryFixture.start({ closeGraceMs: 100 });
  });
  afterEach(() => registry.stop());

  const start = async (): Promise<string> =>
    (await registry.send('POST', '/v2/some/repo/blobs/uploads/')).headers.location!;
  const offsetOf = async (location: string): Promise<string | undefined> =>
    (await registry.send('GET', location)).headers.range;

  it('resumes a chunked upload across a restart', async () => {
    const bytes = Buffer.alloc(3_000_000, 'imgtool');
    const location = await start();
    await registry.send('PATCH', location, { body: bytes.subarray(0, 1_234_567) });
    await registry.restart();
    expect(await offsetOf(location)).to.equal('0-1234566');
    const done = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`, {
      body: bytes.subarray(1_234_567),
      headers: { 'content-range': `1234567-${bytes.length - 1}` },
    });
    expect(done.status).to.equal(201);
    const got = await registry.send('GET', `/v2/some/repo/blobs/${digestOf(bytes)}`);
    expect(got.body.equals(bytes)).to.equal(true);
  });

  it('keeps exactly what came before a client vanished', async () => {
    const bytes = Buffer.alloc(2_000_000, 'cut');
    const location = await start();
    const socket = connect(registry.server.port, registry.server.host);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length}\r\n\r\n`);
    socket.write(bytes.subarray(0, 700_001));
    for (let tries = 0; (await offsetOf(location)) === '0-0' && tries < 3000; tries++) await sleep(10);
    socket.destroy();
    for (let tries = 0; (await offsetOf(location)) !== '0-700000' && tries < 3000; tries++) await sleep(10);
    expect(await offsetOf(location)).to.equal('0-700000');
    const done = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`, { body: bytes.subarray(700_001) });
    expect(done.status).to.equal(201);
  });

  it('lets a newer request take a session over from a connection that hangs', async () => {
    const bytes = Buffer.from('taken over');
    const location = await start();
    const socket = connect(registry.server.port, registry.server.host);
    socket.on('error', () => undefined);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n`);
    await settle();
    const closed = once(socket, 'close');
    const done = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`, { body: bytes });
    expect(done.status).to.equal(201);
    await closed;
  });

  it('drops sessions that nobody touched', async () => {
    const location = await start();
    await registry.restart({ uploadExpiryMs: 1 });
    for (let tries = 0; (await registry.files()).length > 1 && tries < 3000; tries++) await sleep(10);
    expect((await registry.send('GET', location)).status).to.equal(404);
    expect(await registry.files()).to.eql(['registry.json']);
  });

  it('takes 200 pushes at once, half of them of one blob', async () => {
    const same = Buffer.from('the same blob');
    await Promise.all(
      Array.from({ length: 200 }, (_, number) =>
        registry.pushBlob(`many/repo${number % 20}`, number % 2 === 0 ? same : Buffer.from(`blob ${number}`)),
      ),
    );
    const files = await registry.files();
    expect(files.filter((file) => file.startsWith('blobs/'))).to.have.length(101);
    expect(files.filter((file) => file.includes('_uploads') || file.startsWith('tmp'))).to.eql([]);
    const shared = await stat(join(registry.dir, 'blobs/sha256', digestOf(same).slice(7)));
    expect(shared.nlink).to.equal(11);
  });

  const hex = 'a'.repeat(64);
  const traversals = [
    '/v2/../../etc/manifests/passwd',
    '/v2/a/../../b/tags/list',
    '/v2/%2e%2e/%2e%2e/manifests/x',
    '/v2/a%2f..%2f..%2fb/tags/list',
    '/v2/a/_blobs/tags/list',
    '/v2/_tags/tags/list',
    '/v2/A/tags/list',
    '/v2//tags/list',
    '/v2/a/blobs/sha256:../../x',
    '/v2/a/blobs/sha256:..%2f..%2fregistry.json',
    `/v2/a/blobs/sha256:${hex.toUpperCase()}`,
    `/v2/a/blobs/sha256:${hex.slice(1)}`,
    `/v2/a/blobs/md5:${hex.slice(32)}`,
    '/v2/a/blobs/uploads/../../../registry.json',
    '/v2/a/blobs/uploads/..%2f..%2f..%2fregistry.json',
    '/v2/a/manifests/..%2f..%2fregistry.json',
    '/v2/a/manifests/%00',
    '/v2/a/referrers/sha256:%2e%2e',
    '/v2/%zz/tags/list',
  ];
  it('refuses names, tags and digests that are paths (CVE-2014-9358, CVE-2024-3727)', async () => {
    const before = await registry.files();
    for (const path of traversals) {
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
        const answer = await registry.send(method, path, { body: '{}' });
        expect(answer.status, `${method} ${path}`).to.be.within(400, 405);
        expect(errorCode(answer), `${method} ${path}`).to.be.a('string');
      }
      const mount = await registry.send('POST', `/v2/a/blobs/uploads/?mount=sha256:${hex}&from=${path}`);
      expect(mount.status).to.equal(400);
    }
    const digest = await registry.send('POST', '/v2/a/blobs/uploads/?digest=sha256:../../x', { body: 'x' });
    expect(errorCode(digest)).to.equal('DIGEST_INVALID');
    expect(await registry.files()).to.eql(before);
  });

  it('serves read-only beside a writing server, and refuses every change', async () => {
    const { bytes } = await registry.pushImage('some/repo', 'v1', 'read me');
    const reader = await startRegistryServer({ dir: registry.dir, readOnly: true });
    try {
      expect(Buffer.from(await (await fetch(`${reader.url}/v2/some/repo/manifests/v1`)).arrayBuffer())).to.eql(bytes);
      for (const [method, path] of [
        ['POST', 'blobs/uploads/'],
        ['DELETE', 'manifests/v1'],
        ['DELETE', `blobs/${digestOf(bytes)}`],
      ] as const) {
        const answer = await fetch(`${reader.url}/v2/some/repo/${path}`, { method });
        expect(answer.status).to.equal(405);
        expect(await answer.text()).to.include('"UNSUPPORTED"');
      }
    } finally {
      await reader.close();
    }
  });

  it('refuses a directory in use, of another kind or another version, and a port in use', async () => {
    const failure = async (options: Parameters<typeof startRegistryServer>[0]): Promise<unknown> => {
      try {
        await (await startRegistryServer(options)).close();
        return undefined;
      } catch (error) {
        return error;
      }
    };
    expect(await failure({ dir: registry.dir })).to.be.instanceOf(StoreError);
    const { port } = registry.server;
    const other = await RegistryFixture.start();
    await other.server.close();
    expect(await failure({ dir: other.dir, listen: { port } })).to.be.instanceOf(SyscallError);
    await writeFile(join(other.dir, 'registry.json'), '{"version":2}');
    expect(await failure({ dir: other.dir })).to.be.instanceOf(StoreError);
    expect(await failure({ dir: join(other.dir, '..') })).to.be.instanceOf(StoreError);
    for (const dir of ['/proc/imgtool/registry', '/dev/full', '/dev/full/below'])
      expect(await failure({ dir }), dir).to.be.instanceOf(StoreError);
    await other.stop();
  });

  it('closes within its grace although a client hangs, and keeps what it had sent', async () => {
    const location = await start();
    const socket = connect(registry.server.port, registry.server.host);
    socket.on('error', () => undefined);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello`);
    await settle();
    const startedMs = performance.now();
    await registry.restart();
    expect(performance.now() - startedMs).to.be.below(30_000);
    expect(await offsetOf(location)).to.equal('0-4');
    socket.destroy();
    expect(JSON.parse(await readFile(join(registry.dir, 'registry.json'), 'utf8'))).to.eql({ version: 1 });
  });

  it('hands a damaged manifest to nobody', async () => {
    const { digest } = await registry.pushImage('some/repo', 'v1', 'damage');
    const file = (await registry.files()).find((name) => name.includes('_manifests'))!;
    await writeFile(join(registry.dir, file), '{"mediaType":"x"}\nother bytes');
    expect((await registry.send('GET', `/v2/some/repo/manifests/${digest}`)).status).to.equal(404);
  });
});
