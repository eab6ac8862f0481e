import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import {
  AuthenticationError,
  DigestMismatchError,
  RegistryError,
  SizeMismatchError,
  TransportError,
} from '../../lib/errors.js';
import type {
  RegistryClientOptions,
  RepositoryWriter,
  UploadOptions,
  UploadSession,
  UploadSource,
} from '../../lib/registry/index.js';
import { startRegistryServer, type RunningServer } from '../../lib/server/index.js';
import { buildSchema1, digestOf, MEDIA_TYPE, type RawManifest } from '../../lib/spec/index.js';
import { startCuttingProxy, type CuttingProxy } from '../helpers/cutting-proxy.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { startScript, type Reply, type ScriptedServer, type Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { makeSelfSigned } from '../helpers/self-signed.js';
import { descriptorOf } from '../suites/content-store.js';

const { signal } = new AbortController();
const MiB = 2 ** 20;

function sourceOf(bytes: Buffer): UploadSource {
  return {
    descriptor: descriptorOf(bytes),
    open: ({ offset }) => Promise.resolve(Readable.from(pieces(bytes.subarray(offset)), { objectMode: false })),
  };
}

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 256 * 1024) yield bytes.subarray(at, at + 256 * 1024);
}

function manifestOf(config: Buffer): RawManifest {
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { ...descriptorOf(config), mediaType: MEDIA_TYPE.ociConfig },
    layers: [],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, descriptor: { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(bytes), size: bytes.length } };
}

describe('registry v2, writing', () => {
  const suite = scriptedSuite();

  describe('to a scripted registry', () => {
    const UPLOADS = '/v2/a/b/blobs/uploads/';
    const small = randomBytes(1000);
    const large = randomBytes(5 * MiB);
    let server: ScriptedServer;

    async function writer(steps: readonly Step[], options: RegistryClientOptions = {}): Promise<RepositoryWriter> {
      server = await suite.serve(...steps);
      return suite.client(options).openWriter({ host: server.host, repository: 'a/b' }, { signal, mountFrom: ['c'] });
    }
    const step = (method: string, path: string, reply: Step['reply'], expect?: Step['expect']): Step => ({
      method,
      path,
      reply,
      ...(expect === undefined ? {} : { expect }),
    });
    const begin = (location: string, more: Partial<Reply> = {}): Step =>
      step('POST', UPLOADS, { status: 202, headers: { location }, ...more });
    const closing = (location: string, bytes: Buffer): string =>
      `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digestOf(bytes))}`;
    const finish = (location: string, bytes: Buffer, reply: Reply = { status: 201 }): Step =>
      step('PUT', closing(location, bytes), reply);
    const bodies = (method: string): Buffer[] =>
      server.requests.filter((seen) => seen.method === method).map(({ body }) => body);
    for (const [what, reply] of [
      ['415', { status: 415 }],
      ['400 MANIFEST_INVALID', { status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}' }],
    ] as const)
      it(`says --format v2s2 where a registry takes no OCI manifests: ${what}`, async () => {
        const bytes = Buffer.from('{}');
        const put = (mediaType: string): RawManifest => ({
          bytes,
          descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
        });
        const refused = step('PUT', '/v2/a/b/manifests/1', reply);
        const repository = await writer([refused, refused]);
        const hintOf = async (mediaType: string): Promise<unknown> =>
          ((await rejection(repository.putManifest(put(mediaType), { tag: '1' }, { signal }))) as RegistryError).hint;
        expect(await hintOf(MEDIA_TYPE.ociManifest)).to.match(/--format v2s2/);
        expect(String(await hintOf(MEDIA_TYPE.dockerManifest))).not.to.contain('v2s2');
      });

    async function upload(
      repository: RepositoryWriter,
      bytes: Buffer,
      options: Partial<UploadOptions> = {},
    ): Promise<(UploadSession | undefined)[]> {
      const sessions: (UploadSession | undefined)[] = [];
      await repository.uploadBlob(sourceOf(bytes), {
        signal,
        onSession: (session) => Promise.resolve(void sessions.push(session)),
        ...options,
      });
      return sessions;
    }

    it('sends a small blob in two requests, the query of the location kept to the byte', async () => {
      const repository = await writer([begin('/up/1?_state=a%2Bb%3D&x'), finish('/up/1?_state=a%2Bb%3D&x', small)]);
      const told: number[] = [];
      await upload(repository, small, { onProgress: (at) => told.push(at) });
      expect(bodies('PUT')).to.deep.equal([small]);
      expect(server.requests[1]!.headers).to.include({
        'content-length': '1000',
        'content-type': 'application/octet-stream',
      });
      expect(told).to.deep.equal([1000]);
    });

    it('sends an empty blob', async () => {
      await upload(await writer([begin('/up'), finish('/up', Buffer.alloc(0))]), Buffer.alloc(0));
    });

    it('sends a large one as one stream, then ends the upload; tells where to go on meanwhile', async () => {
      const repository = await writer([
        begin('/up/1'),
        step('PATCH', '/up/1', { status: 202, headers: { location: '/up/2', range: `0-${large.length - 1}` } }),
        finish('/up/2', large),
      ]);
      expect(await upload(repository, large)).to.deep.equal([
        { location: `${server.url}/up/1`, offset: 0 },
        { location: `${server.url}/up/2`, offset: large.length },
        undefined,
      ]);
      expect(bodies('PATCH')[0]!.equals(large)).to.equal(true);
      expect(bodies('PUT')[0]!.length).to.equal(0);
    });

    it('takes smaller chunks when the registry finds them too large', async () => {
      const repository = await writer([
        begin('/up/1'),
        step('PATCH', '/up/1', { status: 413 }),
        step('GET', '/up/1', { status: 204, headers: { range: '0-0' } }),
        step('DELETE', '/up/1', { status: 204 }),
        begin('/up/2'),
        ...[0, 1, 2, 3].map((i) =>
          step(
            'PATCH',
            '/up/2',
            { status: 202 },
            { 'content-range': new RegExp(`^${i * 1.25 * MiB}-${(i + 1) * 1.25 * MiB - 1}$`) },
          ),
        ),
        finish('/up/2', large),
      ]);
      await upload(repository, large);
      expect(Buffer.concat(bodies('PATCH').slice(1)).equals(large)).to.equal(true);
    });

    it('goes on behind what the registry says to have when a request fails', async () => {
      const have = 3 * MiB;
      const repository = await writer([
        begin('/up/1'),
        step('PATCH', '/up/1', { reset: true }),
        step('GET', '/up/1', { status: 204, headers: { location: '/up/2', range: `0-${have - 1}` } }),
        step(
          'PATCH',
          '/up/2',
          { status: 202, headers: { location: '/up/3' } },
          { 'content-range': `${have}-${large.length - 1}` },
        ),
        finish('/up/3', large),
      ]);
      const retries: string[] = [];
      await upload(repository, large, { onRetry: (line) => retries.push(line) });
      expect(bodies('PATCH')[1]!.equals(large.subarray(have))).to.equal(true);
      expect(retries).to.have.length(1);
    });

    it('believes the registry when it took less than was sent', async () => {
      const repository = await writer([
        begin('/up'),
        step('PATCH', '/up', { status: 202, headers: { range: `0-${2 * MiB - 1}` } }),
        step('PATCH', '/up', { status: 202, headers: { range: `0-${5 * MiB - 1}` } }),
        finish('/up', large),
      ]);
      await upload(repository, large);
      expect(bodies('PATCH')[1]!.equals(large.subarray(2 * MiB))).to.equal(true);
    });

    for (const status of [404, 416, 400]) {
      it(`starts over when the session is gone (${status})`, async () => {
        const repository = await writer([
          step('GET', '/old', { status, headers: { 'docker-distribution-api-version': 'registry/2.0' } }),
          begin('/new'),
          step('PATCH', '/new', { status: 202 }),
          finish('/new', large),
        ]);
        const session = { location: `${server.url}/old`, offset: 2 * MiB };
        const sessions = await upload(repository, large, { session });
        expect(sessions[0]).to.equal(undefined);
        expect(bodies('PATCH')[0]!.equals(large)).to.equal(true);
      });
    }

    it('goes on with the session of another process', async () => {
      const repository = await writer([
        step('GET', '/old', { status: 204, headers: { range: `0-${4 * MiB - 1}` } }),
        step('PATCH', '/old', { status: 202 }, { 'content-range': `${4 * MiB}-${5 * MiB - 1}` }),
        finish('/old', large),
      ]);
      await upload(repository, large, { session: { location: `${server.url}/old`, offset: 2 * MiB } });
    });

    for (const { what, after } of [
      { what: 'asks again when more has arrived by now than the registry knew of (416)', after: 4 * MiB },
      { what: 'starts over when the registry wants nothing behind what it says to have (416)', after: 3 * MiB },
    ])
      it(what, async () => {
        const range = (offset: number): Reply => ({ status: 204, headers: { range: `0-${offset - 1}` } });
        const goesOn = [
          step('PATCH', '/old', { status: 202 }, { 'content-range': `${4 * MiB}-${5 * MiB - 1}` }),
          finish('/old', large),
        ];
        const anew = [
          step('GET', '/old', range(after)),
          step('PATCH', '/old', { status: 416 }, { 'content-range': /./ }),
          step('PATCH', '/old', { status: 416 }, { 'content-range': /./ }),
          begin('/new'),
          step('PATCH', '/new', { status: 202 }),
          finish('/new', large),
        ];
        const repository = await writer([
          step('GET', '/old', range(3 * MiB)),
          step('PATCH', '/old', { status: 416 }, { 'content-range': `${3 * MiB}-${5 * MiB - 1}` }),
          step('GET', '/old', range(after)),
          ...(after > 3 * MiB ? goesOn : anew),
        ]);
        await upload(repository, large, { session: { location: `${server.url}/old`, offset: 2 * MiB } });
      });

    it('does not trust a session that has more than the blob', async () => {
      const repository = await writer([
        step('GET', '/old', { status: 204, headers: { range: `0-${6 * MiB}` } }),
        step('DELETE', '/old', { status: 204 }),
        begin('/new'),
        step('PATCH', '/new', { status: 202 }),
        finish('/new', large),
      ]);
      await upload(repository, large, { session: { location: `${server.url}/old`, offset: 2 * MiB } });
    });

    it('is done when only the last answer was lost', async () => {
      const repository = await writer([
        begin('/up'),
        step('PUT', closing('/up', small), { reset: true }),
        step('GET', '/up', { status: 404 }),
        step('HEAD', `/v2/a/b/blobs/${digestOf(small)}`, { status: 200 }),
      ]);
      await upload(repository, small);
    });

    it('waits when the registry is busy, then goes on', async () => {
      const repository = await writer([
        begin('/up'),
        step('PATCH', '/up', { status: 503 }),
        step('GET', '/up', { status: 204, headers: { range: `0-${MiB - 1}` } }),
        step('PATCH', '/up', { status: 202 }),
        finish('/up', large),
      ]);
      await upload(repository, large);
      expect(bodies('PATCH')[1]!.equals(large.subarray(MiB))).to.equal(true);
    });

    it('sends once more what arrived wrong, and gives up when it is wrong again', async () => {
      const wrong: Reply = { status: 400, body: '{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}' };
      const repository = await writer([
        begin('/1'),
        finish('/1', small, wrong),
        begin('/2'),
        finish('/2', small, wrong),
      ]);
      const error = await rejection(upload(repository, small));
      expect(error).to.be.instanceOf(RegistryError);
      expect(error.message).to.match(/: no$/);
    });

    it('gives up on a registry that loses every session, and on one that never answers', async () => {
      const lost = [1, 2, 4].flatMap((i) => [begin(`/${i}`), step('PATCH', `/${i}`, { status: 404 })]);
      lost.splice(4, 0, begin('/3'), finish('/3', large, { status: 404 }));
      lost.splice(6, 0, step('HEAD', `/v2/a/b/blobs/${digestOf(large)}`, { status: 404 }));
      expect(await rejection(upload(await writer(lost), large))).to.be.an('error');
      const never = await writer(
        [begin('/up'), step('PATCH', '/up', { reset: true }), { ...step('GET', '/up', { reset: true }), times: 2 }],
        { retries: 1 },
      );
      expect(await rejection(upload(never, large))).to.be.instanceOf(TransportError);
    });

    it('gives up on a registry that takes no more after the first chunk, in whatever way it is sent', async () => {
      const taken: Reply = { status: 202, headers: { range: `0-${MiB - 1}` } };
      const repository = await writer(
        [
          begin('/1'),
          step('PATCH', '/1', taken),
          step('PATCH', '/1', taken, { 'content-range': `${MiB}-${5 * MiB - 1}` }),
          step('DELETE', '/1', { status: 204 }),
          begin('/2'),
          step('PATCH', '/2', taken),
          finish('/2', large, { status: 400, body: '{"errors":[{"code":"SIZE_INVALID","message":"1 of 5 MiB"}]}' }),
          step('HEAD', `/v2/a/b/blobs/${digestOf(large)}`, { status: 404 }),
          begin('/3'),
          finish('/3', large, { status: 405 }),
          step('HEAD', `/v2/a/b/blobs/${digestOf(large)}`, { status: 404 }),
          begin('/4'),
          step('PATCH', '/4', { status: 500 }),
        ],
        { retries: 0 },
      );
      const error = await rejection(upload(repository, large));
      expect(error).to.be.instanceOf(RegistryError);
      expect(error.message).to.match(/answered 500/);
    });

    it('tells what is wrong with the source, not with the connection', async () => {
      const short = { ...sourceOf(large.subarray(0, MiB)), descriptor: descriptorOf(large) };
      const repository = await writer([begin('/up')]);
      expect(await rejection(repository.uploadBlob(short, { signal }))).to.be.instanceOf(SizeMismatchError);
      const broken: UploadSource = {
        descriptor: descriptorOf(small),
        open: () => Promise.reject(new Error('the disk broke')),
      };
      const other = await writer([begin('/up')]);
      expect((await rejection(other.uploadBlob(broken, { signal }))).message).to.equal('the disk broke');
    });

    it('ends when aborted', async () => {
      const controller = new AbortController();
      const abort = (): Reply => {
        controller.abort();
        return { delayMs: 2000 };
      };
      const repository = await writer([begin('/up'), step('PATCH', '/up', abort)]);
      const uploading = rejection(upload(repository, large, { signal: controller.signal }));
      expect((await uploading).name).to.equal('AbortError');
    });

    it('sends no credentials to a location on another host (CVE-2020-15157)', async () => {
      const storage = await suite.serve(
        step('PUT', closing('/put?sig=1', small), { status: 201 }, { authorization: undefined }),
      );
      const repository = await writer(
        [
          step('POST', UPLOADS, { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } }),
          step(
            'POST',
            UPLOADS,
            { status: 202, headers: { location: `${storage.url}/put?sig=1` } },
            { authorization: /^Basic / },
          ),
        ],
        { credentials: () => Promise.resolve({ username: 'u', password: 'p', source: 'test' }) },
      );
      await upload(repository, small);
    });

    for (const location of ['ftp://127.0.0.1/x', 'http://[', undefined]) {
      it(`refuses ${location ?? 'no'} location`, async () => {
        const repository = await writer([
          step('POST', UPLOADS, { status: 202, headers: location === undefined ? {} : { location } }),
        ]);
        expect(await rejection(upload(repository, small))).to.be.instanceOf(RegistryError);
      });
    }

    it('refuses a location that leads from https to plain http', async () => {
      const secure = await startScript([begin('http://127.0.0.1:1/up')], await makeSelfSigned());
      try {
        const client = suite.client({ tlsVerify: false });
        const repository = await client.openWriter({ host: secure.host, repository: 'a/b' }, { signal });
        const error = await rejection(upload(repository, small));
        expect(error).to.be.instanceOf(RegistryError);
        expect(error.message).to.include('plain HTTP');
      } finally {
        await secure.close();
      }
    });

    it('asks for the right to write, and to read where it mounts from', async () => {
      const scopes = ['a/b:pull,push', 'c:pull'].map((scope) => `scope=${encodeURIComponent(`repository:${scope}`)}`);
      const repository = await writer([]);
      server.add(
        step('HEAD', `/v2/a/b/blobs/${digestOf(small)}`, {
          status: 401,
          headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` },
        }),
        step('GET', `/token?${scopes.join('&')}`, { body: '{"token":"t"}' }),
        step('HEAD', `/v2/a/b/blobs/${digestOf(small)}`, { status: 404 }, { authorization: 'Bearer t' }),
      );
      expect(await repository.hasBlob(digestOf(small), { signal })).to.equal(false);
    });

    it('mounts, or keeps the session that was opened instead', async () => {
      const path = `${UPLOADS}?mount=${encodeURIComponent(digestOf(small))}&from=c`;
      const mount = async (reply: Reply): Promise<object> =>
        (await writer([step('POST', path, reply)], { retries: 0 })).mountBlob(digestOf(small), 'c', { signal });
      expect(await mount({ status: 201 })).to.deep.equal({ mounted: true });
      const opened = await mount({ status: 202, headers: { location: '/up' } });
      expect(opened).to.deep.equal({ mounted: false, session: { location: `${server.url}/up`, offset: 0 } });
      for (const status of [400, 403, 404, 405]) expect(await mount({ status })).to.deep.equal({ mounted: false });
      expect(await rejection(mount({ status: 500 }))).to.be.instanceOf(RegistryError);
    });

    it('uses a session that a mount has opened without asking about it', async () => {
      const repository = await writer([finish('/up', small)]);
      await upload(repository, small, { session: { location: `${server.url}/up`, offset: 0 }, sessionIsNew: true });
    });

    it('publishes a manifest as it is, and notices when another one was stored', async () => {
      const manifest = manifestOf(small);
      const path = '/v2/a/b/manifests/1';
      const stored = (digest: string): Reply => ({ status: 201, headers: { 'docker-content-digest': digest } });
      const repository = await writer([
        step('PUT', path, stored(manifest.descriptor.digest), { 'content-type': MEDIA_TYPE.ociManifest }),
        step('PUT', path, stored(digestOf('x'))),
        step('PUT', path, { status: 403 }),
        step('PUT', `/v2/a/b/manifests/${manifest.descriptor.digest}`, { status: 201 }),
      ]);
      await repository.putManifest(manifest, { tag: '1' }, { signal });
      expect(bodies('PUT')).to.deep.equal([manifest.bytes]);
      const changed = repository.putManifest(manifest, { tag: '1' }, { signal });
      expect(await rejection(changed)).to.be.instanceOf(DigestMismatchError);
      const denied = repository.putManifest(manifest, { tag: '1' }, { signal });
      expect(await rejection(denied)).to.be.instanceOf(AuthenticationError);
      await repository.putManifest(manifest, { digest: manifest.descriptor.digest }, { signal });
    });
  });

  for (const kind of ['docker-registry', 'imgtool serve'] as const) {
    describe(`to ${kind}`, () => {
      let directory: string;
      let registry: DockerRegistry | RunningServer;
      let host: string;
      let proxy: CuttingProxy | undefined;
      before(async () => {
        directory = await mkdtemp(join(tmpdir(), 'imgtool-writer-'));
        if (kind === 'docker-registry') {
          const started = await startDockerRegistry();
          [registry, host] = [started, started.host];
        } else {
          const started = await startRegistryServer({ dir: join(directory, 'data'), listen: { port: 0 } });
          [registry, host] = [started, new URL(started.url).host];
        }
      });
      after(async () => {
        await ('stop' in registry ? registry.stop() : registry.close());
        await rm(directory, { recursive: true });
      });
      afterEach(async () => {
        await proxy?.close();
        proxy = undefined;
      });

      const open = (at = host, repository = 'some/where'): Promise<RepositoryWriter> =>
        suite.client().openWriter({ host: at, repository }, { signal, mountFrom: ['some/where'] });
      async function expectThere(bytes: Buffer, repository = 'some/where'): Promise<void> {
        const reader = await suite.client().open({ host, repository }, { signal });
        const { body } = await reader.blob(descriptorOf(bytes)).open({ signal });
        expect((await buffer(body)).equals(bytes)).to.equal(true);
      }

      for (const size of [0, 1, 4 * MiB, 4 * MiB + 1]) {
        it(`uploads ${size} bytes`, async () => {
          const bytes = randomBytes(size);
          const repository = await open();
          expect(await repository.hasBlob(digestOf(bytes), { signal })).to.equal(false);
          await repository.uploadBlob(sourceOf(bytes), { signal });
          expect(await repository.hasBlob(digestOf(bytes), { signal })).to.equal(true);
          await expectThere(bytes);
        });
      }

      it('mounts from another repository', async () => {
        const bytes = randomBytes(100);
        await (await open()).uploadBlob(sourceOf(bytes), { signal });
        const other = await open(host, 'else/where');
        const gone = await other.mountBlob(digestOf('nowhere'), 'some/where', { signal });
        expect(gone.mounted).to.equal(false);
        await other.cancelUpload(gone.session!, { signal });
        expect(await other.mountBlob(digestOf(bytes), 'some/where', { signal })).to.deep.equal({ mounted: true });
        await expectThere(bytes, 'else/where');
      });

      it('ends right although the connection is cut three times', async () => {
        const bytes = randomBytes(12 * MiB);
        proxy = await startCuttingProxy(host, [MiB, 3 * MiB, 2 * MiB]);
        const retries: string[] = [];
        await (await open(proxy.host)).uploadBlob(sourceOf(bytes), { signal, onRetry: (line) => retries.push(line) });
        expect(proxy.cuts).to.deep.equal([]);
        expect(retries.length).to.be.within(3, 6);
        await expectThere(bytes);
        // What the server had not read when it was asked is sent again, which is little unless the machine is busy:
        // starting over each time would be 18 MiB. docker-registry forgets a session whose connection broke.
        if (kind === 'imgtool serve') expect(proxy.received).to.be.lessThan(18 * MiB);
      });

      it('publishes manifests by tag and by digest, and refuses one whose blobs are missing', async () => {
        const config = Buffer.from(JSON.stringify({ rootfs: { diff_ids: [] }, nonce: randomBytes(8).toString('hex') }));
        const manifest = manifestOf(config);
        const repository = await open();
        const early = await rejection(repository.putManifest(manifest, { tag: 'x' }, { signal }));
        expect(early).to.be.instanceOf(RegistryError);
        await repository.uploadBlob(sourceOf(config), { signal });
        const { digest } = manifest.descriptor;
        expect(await repository.hasManifest(digest, { signal })).to.equal(false);
        await repository.putManifest(manifest, { digest }, { signal });
        expect(await repository.hasManifest(digest, { signal })).to.equal(true);
        await repository.putManifest(manifest, { tag: 'x' }, { signal });
        const reader = await suite.client().open({ host, repository: 'some/where' }, { signal });
        expect((await reader.resolve({ tag: 'x' }, { signal })).digest).to.equal(digest);
        // Neither takes schema 1 as it is set up; docker-registry says no more than 500.
        const rootfs = { type: 'layers', diff_ids: [] };
        const platform = { os: 'linux', architecture: 'amd64' };
        const old = buildSchema1(Buffer.from(JSON.stringify({ ...platform, rootfs })), [], { name: 'a', tag: 'x' });
        const descriptor = { mediaType: MEDIA_TYPE.dockerSchema1Signed, digest: old.digest, size: old.bytes.length };
        const refused = repository.putManifest({ bytes: old.bytes, descriptor }, { tag: 'x' }, { signal });
        expect((await rejection(refused)).hint).to.include('may not accept Docker schema 1');
      });
    });
  }
});
